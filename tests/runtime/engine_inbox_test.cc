// Work that comes while passes run: interactive sequences before a batch, and requests of other
// threads.
#include "runtime/engine/engine_inbox.h"

#include <atomic>
#include <numeric>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/runtime/engine_harness.h"

namespace sluice {
namespace {

// A batch fills the engine; what is interactive does not wait for its end, and changes no answer.
TEST_F(EngineTest, InteractiveSequencesRunBeforeABatch) {
  std::vector<SequenceRequest> requests(3);
  for (size_t i = 0; i < 3; ++i) {
    requests[i].prompt = *tokenizer_->Encode("Once upon a time");
    requests[i].max_new_tokens = i == 2 ? 4 : 60;
    requests[i].ignore_eos = true;
    requests[i].sampler.seed = i;
    requests[i].priority = i == 2 ? Priority::kInteractive : Priority::kBatch;
  }
  TestEngine alone(**store_, tokenizer_, {});
  const std::vector<SequenceResult> want = alone.Run(requests, {0, 1, 2});
  for (const int64_t kv_pages : {8, 5}) {  // the batch has all places, or all pages
    TestEngine test(**store_, tokenizer_,
                    {.sequences = kv_pages == 8 ? 2 : 3, .kv_pages = kv_pages});
    std::vector<SequenceResult> got(3);
    std::vector<size_t> order;
    const auto submit = [&](size_t i) {
      SequenceRequest request = requests[i];
      request.on_finish = [&, i](SequenceResult result) {
        got[i] = std::move(result);
        order.push_back(i);
      };
      ASSERT_TRUE(test.engine->Submit(std::move(request)).ok());
    };
    submit(0);
    submit(1);
    for (int pass = 0; pass < 5; ++pass) ASSERT_TRUE(test.engine->Step().ok());
    submit(2);
    for (int pass = 0; pass < 4; ++pass) ASSERT_TRUE(test.engine->Step().ok());
    EXPECT_THAT(order, testing::ElementsAre(2)) << "its prompt's pass, and three more";
    while (!test.engine->idle()) ASSERT_TRUE(test.engine->Step().ok());
    for (size_t i = 0; i < 3; ++i) ExpectSame(got[i], want[i]);
  }
}

// Threads submit and cancel while passes run; answers are those of each request alone.
TEST_F(EngineTest, AnInboxTakesWorkFromOtherThreads) {
  const std::vector<SequenceRequest> requests = Requests(12);
  TestEngine alone(**store_, tokenizer_, {});
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), 0);
  const std::vector<SequenceResult> want = alone.Run(requests, order);

  TestEngine test(**store_, tokenizer_, {.sequences = 4, .kv_pages = 20});
  EngineInbox inbox(&*test.engine);
  std::vector<SequenceResult> got(requests.size());
  std::atomic<int> left{static_cast<int>(requests.size())};
  absl::Status ended;
  std::thread runner([&] { ended = inbox.Run(); });
  const auto submit = [&](size_t first) {
    for (size_t i = first; i < requests.size(); i += 2) {
      SequenceRequest doomed = requests[i];
      doomed.max_new_tokens = 1000;
      doomed.on_finish = nullptr;
      const auto ticket = inbox.Submit(std::move(doomed));
      SequenceRequest request = requests[i];
      request.on_finish = [&, i](SequenceResult result) {
        got[i] = std::move(result);
        if (--left == 0) inbox.Stop();
      };
      EXPECT_TRUE(std::holds_alternative<int64_t>(inbox.Submit(std::move(request))));
      inbox.Cancel(std::get<int64_t>(ticket));
    }
  };
  std::thread one([&] { submit(0); }), two([&] { submit(1); });
  inbox.Pause();  // no pass runs: the model can be looked at
  const int64_t passes = test.model->pass_counters().passes;
  EXPECT_EQ(test.model->pass_counters().passes, passes);
  inbox.Resume();
  const auto wrong = inbox.Submit({.prompt = {-1}});
  ASSERT_TRUE(std::holds_alternative<RequestError>(wrong));
  EXPECT_EQ(std::get<RequestError>(wrong).param, "prompt");
  one.join();
  two.join();
  runner.join();
  EXPECT_TRUE(ended.ok()) << ended;
  for (size_t i = 0; i < requests.size(); ++i) ExpectSame(got[i], want[i]);
}

}  // namespace
}  // namespace sluice
