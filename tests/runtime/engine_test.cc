// Many sequences at once give each what it would get alone, whatever company, order and
// interruptions.
#include "runtime/engine/engine.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/engine/generator.h"
#include "runtime/engine/scorer.h"
#include "tests/runtime/engine_harness.h"
#include "tests/runtime/faulty_file.h"
#include "tests/runtime/model_harness.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

TEST_F(EngineTest, GivesARequestTheSameAloneAndInAnyCompany) {
#ifdef SLUICE_SANITIZED
  const std::vector<SequenceRequest> requests = Requests(12);
#else
  const std::vector<SequenceRequest> requests = Requests(60);
#endif
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), 0);
  const std::vector<SequenceResult> alone =
      TestEngine(**store_, tokenizer_, {.sequences = 1, .pass_rows = 200, .kv_pages = 4})
          .Run(requests, order);
  std::mt19937 random(2);
  int64_t preemptions = 0, shared = 0;
  for (const TestEngine::Config& config :
       {TestEngine::Config{.sequences = 40, .pass_rows = 300, .kv_pages = 200},
        TestEngine::Config{.sequences = 12, .pass_rows = 40, .kv_pages = 9},
        TestEngine::Config{.sequences = 3, .pass_rows = 7, .kv_pages = 4}}) {
    std::shuffle(order.begin(), order.end(), random);
    TestEngine together(**store_, tokenizer_, config);
    const std::vector<SequenceResult> results = together.Run(requests, order);
    for (size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(testing::Message() << "request " << i << " among " << config.sequences);
      ExpectSame(results[i], alone[i]);
    }
    preemptions += together.engine->counters().preemptions;
    shared += together.engine->counters().shared_rows;
    EXPECT_EQ(together.model->kv_cache().pool().available(), config.kv_pages);
  }
  EXPECT_GT(preemptions, 0);
  EXPECT_GT(shared, 0);
}

TEST_F(EngineTest, EndsWhereVllmsRulesSay) {
  TestEngine engine(**store_, tokenizer_, {.sequences = 1, .kv_pages = 20});
  SequenceRequest plain;
  plain.prompt = *tokenizer_->Encode("Once upon a time");
  plain.max_new_tokens = 24;
  plain.sampler.temperature = 0;
  const auto run = [&](const SequenceRequest& request) { return engine.Run({request}, {0})[0]; };
  const SequenceResult whole = run(plain);
  ASSERT_EQ(whole.ids.size(), 24u);
  const int32_t token = whole.ids[3];
  const size_t first = std::find(whole.ids.begin(), whole.ids.end(), token) - whole.ids.begin();

  SequenceRequest request = plain;
  request.stop_tokens = {token};
  request.ignore_eos = true;  // which says nothing of these
  SequenceResult result = run(request);
  EXPECT_EQ(result.finish_reason, FinishReason::kStop);
  ASSERT_EQ(result.ids.size(), first + 1);
  EXPECT_EQ(result.text, tokenizer_->Decode(absl::MakeConstSpan(whole.ids).first(first), true))
      << whole.text;
  request.show_stop = true;
  EXPECT_EQ(run(request).text, whole.text.substr(0, run(request).text.size()));
  EXPECT_GT(run(request).text.size(), result.text.size());

  request.show_stop = false;
  request.min_new_tokens = 10;
  result = run(request);
  EXPECT_GE(result.ids.size(), 10u);
  EXPECT_EQ(std::count(result.ids.begin(), result.ids.begin() + 10, token), 0)
      << "it is not chosen before";

  // A stop text: not before the least number of tokens, and part of the text where that was asked
  // for.
  request = plain;
  const std::string word = whole.text.substr(0, whole.text.find(' ', 1));
  request.stop = {word};
  EXPECT_EQ(run(request).text, "");
  request.show_stop = true;
  EXPECT_EQ(run(request).text, word);
  request.show_stop = false;
  request.min_new_tokens = 12;
  EXPECT_GE(run(request).ids.size(), 12u);

  // Only what is allowed; and where that is only what ends it, it ends.
  request = plain;
  request.allowed_tokens =
      std::make_shared<const std::vector<int32_t>>(std::vector<int32_t>{5, token});
  result = run(request);
  for (const int32_t id : result.ids) EXPECT_TRUE(id == 5 || id == token) << id;
  EXPECT_EQ(result.ids.size(), 24u);
  request.stop_tokens = {5, token};
  request.min_new_tokens = 10;
  EXPECT_EQ(run(request).ids.size(), 1u);

  request.allowed_tokens = std::make_shared<const std::vector<int32_t>>(std::vector<int32_t>{5000});
  EXPECT_THAT(engine.engine->Check(request)->message,
              HasSubstr("allowed_token_ids names token 5000"));
  request.allowed_tokens = nullptr;
  request.stop_tokens = {-1};
  EXPECT_THAT(engine.engine->Check(request)->message, HasSubstr("stop_token_ids names token -1"));
}

TEST_F(EngineTest, GoesOnWhereAnEarlierProcessWasInterrupted) {
  const std::vector<SequenceRequest> requests = Requests(12);
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), 0);
  TestEngine first(**store_, tokenizer_, {.sequences = 4, .kv_pages = 20});
  const std::vector<SequenceResult> whole = first.Run(requests, order);
  for (const size_t kept : {size_t{1}, size_t{7}, size_t{40}}) {
    std::vector<SequenceRequest> rest = requests;
    for (size_t i = 0; i < rest.size(); ++i) {
      rest[i].generated.assign(whole[i].ids.begin(),
                               whole[i].ids.begin() + std::min(kept, whole[i].ids.size()));
    }
    const std::vector<SequenceResult> resumed = first.Run(rest, order);
    for (size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(testing::Message() << "request " << i << " after " << kept << " tokens");
      ExpectSame(resumed[i], whole[i]);
    }
  }
}

constexpr ResumeCosts kAlwaysSwap = {.page_s = 0, .row_s = 1e9};
// Room for half of the pages that the running sequences grow to.
TestEngine::Config Tight(const ResumeCosts& resume) {
  return {.sequences = 6, .pass_rows = 100, .kv_pages = 5, .swaps = true, .resume = resume};
}

TEST_F(EngineTest, GivesTheSameHoweverPreemptedSequencesComeBack) {
  const std::vector<SequenceRequest> requests = LongRequests();
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), 0);
  std::vector<SequenceResult> computed_again;
  // Never, always, and from some 100 rows on: what so little data teaches of the disk changes
  // little.
  constexpr ResumeCosts kLongOnes = {.page_s = 10, .free_rows = 80, .row_s = 1};
  for (const ResumeCosts& resume : {ResumeCosts{}, kAlwaysSwap, kLongOnes}) {
    TestEngine test(**store_, tokenizer_, Tight(resume));
    const std::vector<SequenceResult> results = test.Run(requests, order);
    const PassScheduler::Counters& counters = test.engine->counters();
    EXPECT_TRUE(test.engine->swap_status().ok()) << test.engine->swap_status();
    EXPECT_EQ(test.model->stream_counters().io.bytes_written > 0, counters.swaps > 0);
    ASSERT_GT(counters.preemptions, 0);
    if (computed_again.empty()) {
      computed_again = results;
      EXPECT_EQ(counters.swaps, 0);
      continue;
    }
    for (size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(testing::Message() << "request " << i);
      ExpectSame(results[i], computed_again[i]);
    }
    SCOPED_TRACE(testing::Message()
                 << counters.swaps << " of " << counters.preemptions << " swapped");
    EXPECT_GT(counters.swapped_rows, 0);
    if (resume.page_s == 0) {
      EXPECT_EQ(counters.swaps, counters.preemptions);
    } else {
      EXPECT_GT(counters.swaps, 0);
      EXPECT_LT(counters.swaps, counters.preemptions);
    }
  }
}

// In memory and on disk in every mixture, in company and preempted: to swap slots, or to be
// computed again.
TEST_F(EngineTest, GivesTheSameWithPagesOnDisk) {
  std::vector<SequenceRequest> requests = LongRequests();
#ifndef SLUICE_SANITIZED
  for (SequenceRequest& request : Requests(10)) requests.push_back(std::move(request));
#endif
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), 0);
  const std::vector<SequenceResult> expected =
      TestEngine(**store_, tokenizer_, {.sequences = 22, .pass_rows = 100, .kv_pages = 200})
          .Run(requests, order);
  int64_t swaps = 0, shared = 0, again = 0;
  for (const auto& [sequences, pages, disk_pages, resume] :
       {std::tuple(6, 5, 3, kAlwaysSwap), std::tuple(6, 5, 5, kAlwaysSwap),
        std::tuple(6, 5, 2, ResumeCosts{}), std::tuple(12, 60, 45, ResumeCosts{})}) {
    TestEngine test(**store_, tokenizer_,
                    {.sequences = sequences,
                     .pass_rows = 100,
                     .kv_pages = pages,
                     .kv_disk_pages = disk_pages,
                     .swaps = true,
                     .resume = resume});
    const std::vector<SequenceResult> results = test.Run(requests, order);
    EXPECT_TRUE(test.engine->swap_status().ok()) << test.engine->swap_status();
    for (size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(testing::Message()
                   << "request " << i << ", " << disk_pages << " of " << pages << " pages on disk");
      ExpectSame(results[i], expected[i]);
    }
    const PassScheduler::Counters& counters = test.engine->counters();
    EXPECT_GT(test.model->kv_counters().bytes_read, 0);
    EXPECT_EQ(test.model->kv_cache().pool().available(), pages);
    EXPECT_EQ(counters.preemptions > 0, pages == 5);
    swaps += counters.swaps;
    again += counters.preemptions - counters.swaps;
    shared += counters.shared_rows;
  }
  EXPECT_GT(swaps, 0);
  EXPECT_GT(again, 0);
  EXPECT_GT(shared, 0);
}

TEST_F(EngineTest, CountsTheKeysAndValuesOfEachPass) {
  TestEngine test(**store_, tokenizer_, {.sequences = 1, .kv_pages = 4, .kv_disk_pages = 4});
  SequenceRequest request;
  request.prompt.assign(64, 7);
  request.max_new_tokens = 3;
  request.ignore_eos = true;
  ASSERT_TRUE(test.engine->Submit(std::move(request)).ok());
  const int64_t page_bytes = test.model->kv_cache().layout().page_bytes();
  // The prompt's page is written; then it is read for each row, and the next one is written, and
  // read from then on.
  for (const int64_t pages : {1, 2, 3}) {
    const auto report = test.engine->Step();
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->kv_disk_bytes, pages * page_bytes);
  }
  EXPECT_TRUE(test.engine->idle());
}

TEST_F(EngineTest, ComputesAgainWhatTheSwapFileLost) {
  const std::vector<SequenceRequest> requests = LongRequests();
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), 0);
  const std::vector<SequenceResult> expected =
      TestEngine(**store_, tokenizer_, {.sequences = 12, .kv_pages = 200}).Run(requests, order);
  using Fault = FaultyFile::Fault;
  for (const auto& [fault, message, firsts] :
       {std::tuple(Fault::kWrites, "injected ENOSPC", std::vector<int>{1, 4}),
        std::tuple(Fault::kReads, "injected EIO", std::vector<int>{1}),
        std::tuple(Fault::kFlips, "differs from the page that was written", std::vector<int>{4})}) {
    for (const int first : firsts) {
      SCOPED_TRACE(testing::Message() << message << " from number " << first);
      TestEngine::Config config = Tight(kAlwaysSwap);
      config.make_engine = FaultyFile::Scratch(fault, first);
      TestEngine test(**store_, tokenizer_, config);
      const std::vector<SequenceResult> results = test.Run(requests, order);
      for (size_t i = 0; i < requests.size(); ++i) {
        SCOPED_TRACE(testing::Message() << "request " << i);
        ExpectSame(results[i], expected[i]);
      }
      EXPECT_THAT(std::string(test.engine->swap_status().message()), HasSubstr(message));
      EXPECT_LT(test.engine->counters().swaps, test.engine->counters().preemptions)
          << "none after the failure";
      EXPECT_EQ(test.model->kv_cache().pool().available(), config.kv_pages);
    }
  }
}

TEST_F(EngineTest, AgreesWithGenerateAndScore) {
  TestModel model(**store_, {.name = "reference", .kv = KvType::kQ8_0, .context = 256});
  const std::vector<int32_t> prompt = *tokenizer_->Encode("One day, a cat");
  GenerateOptions options;
  options.max_new_tokens = 20;
  options.sampler.temperature = 0;
  const auto expected = Generate(*model.model, tokenizer_, prompt, options);
  ASSERT_TRUE(expected.ok()) << expected.status();
  TestEngine engine(**store_, tokenizer_, {});
  std::string streamed;
  SequenceRequest request{.prompt = prompt, .max_new_tokens = 20};
  request.sampler.temperature = 0;
  request.on_token = [&](int32_t, absl::string_view text) {
    streamed.append(text.data(), text.size());
  };
  const SequenceResult result = engine.Run({request}, {0})[0];
  EXPECT_EQ(result.ids, expected->ids);
  EXPECT_EQ(result.text, expected->text);
  EXPECT_EQ(streamed, expected->text);

  options.end_tokens = request.end_tokens = {expected->ids[5]};
  const auto ended = Generate(*model.model, tokenizer_, prompt, options);
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_LE(ended->ids.size(), 6u);
  EXPECT_EQ(engine.Run({request}, {0})[0].ids, ended->ids);
  EXPECT_EQ(engine.Run({request}, {0})[0].text, ended->text);

  SequenceRequest scored{
      .prompt = prompt, .max_new_tokens = 0, .top_logprobs = 3, .prompt_logprobs = true};
  const SequenceResult scores = engine.Run({scored}, {0})[0];
  ASSERT_EQ(scores.prompt_log_probs.size(), prompt.size() - 1);
  size_t i = 0;
  Scorer scorer(model.model.get());
  for (int text = 0; text < 2; ++text) {  // one engine scores text after text
    i = 0;
    ASSERT_TRUE(scorer
                    .Score(prompt, 1, 3, nullptr,
                           [&](const TokenScore& score) {
                             EXPECT_EQ(score.log_prob, scores.prompt_log_probs[i].log_prob);
                             EXPECT_EQ(score.top, scores.prompt_log_probs[i].top);
                             ++i;
                           })
                    .ok());
    EXPECT_EQ(i, prompt.size() - 1);
  }
}

TEST_F(EngineTest, CancelsAtAnyTime) {
  TestEngine test(**store_, tokenizer_, {.sequences = 2, .kv_pages = 8});
  Engine& engine = *test.engine;
  int64_t ids[4];
  int finished = 0, tokens = 0;
  for (int i = 0; i < 4; ++i) {
    SequenceRequest request{
        .prompt = {1, 80, 147}, .max_new_tokens = i == 3 ? 0 : 50, .ignore_eos = true};
    request.on_token = [&, i](int32_t, absl::string_view) {
      if (i == 0 && ++tokens == 5) engine.Cancel(ids[0]);  // itself
    };
    request.on_finish = [&](SequenceResult) { ++finished; };
    ids[i] = *engine.Submit(std::move(request));
  }
  engine.Cancel(ids[3]);  // which has nothing to compute
  engine.Cancel(ids[2]);  // which waits
  while (!engine.idle()) ASSERT_TRUE(engine.Step().ok());
  EXPECT_EQ(finished, 1);
  EXPECT_EQ(tokens, 5);
  EXPECT_EQ(test.model->kv_cache().pool().available(), 8);
}

TEST_F(EngineTest, FillsTheContextAndRefusesWhatCannotRun) {
  TestEngine test(**store_, tokenizer_, {.kv_pages = 1, .context = 40});
  const std::vector<int32_t> prompt(30, 5);
  SequenceRequest request{.prompt = prompt, .max_new_tokens = 1000, .ignore_eos = true};
  const SequenceResult result = test.Run({request}, {0})[0];
  EXPECT_EQ(result.ids.size(), 11u)
      << "the last token is chosen, but has no place in the cache any more";
  EXPECT_EQ(result.finish_reason, FinishReason::kLength);
  const auto refusal = [&](std::vector<int32_t> ids, double top_p = 1) {
    SequenceRequest refused{.prompt = std::move(ids)};
    refused.sampler.top_p = top_p;
    return std::string(test.engine->Submit(refused).status().message());
  };
  EXPECT_THAT(refusal({}), HasSubstr("empty"));
  EXPECT_THAT(refusal(std::vector<int32_t>(41, 5)), HasSubstr("41 tokens, the context only 40"));
  EXPECT_THAT(refusal({5, 2048}), HasSubstr("token 2048 is outside"));
  EXPECT_THAT(refusal({5, -1}), HasSubstr("token -1 is outside"));
  EXPECT_THAT(refusal({5}, 2), HasSubstr("top_p"));
  EXPECT_TRUE(test.engine->idle());
}

TEST_F(EngineTest, TellsHowFarAPromptIs) {
  TestEngine test(**store_, tokenizer_, {.pass_rows = 8});
  SequenceRequest request{.prompt =
                              *tokenizer_->Encode("Once upon a time there was a little girl")};
  request.prompt.resize(20, 5);
  request.max_new_tokens = 3;
  std::vector<std::pair<int64_t, int64_t>> told;
  request.on_prompt = [&](int64_t done, int64_t total) { told.emplace_back(done, total); };
  test.Run({request}, {0});
  EXPECT_THAT(told, testing::ElementsAre(testing::Pair(8, 20), testing::Pair(16, 20),
                                         testing::Pair(20, 20)));
}

}  // namespace
}  // namespace sluice
