// What tests of the engine share: an engine over a model of its own, and requests of all kinds.
#ifndef SLUICE_TESTS_RUNTIME_ENGINE_HARNESS_H_
#define SLUICE_TESTS_RUNTIME_ENGINE_HARNESS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/constrain/constraints.h"
#include "runtime/engine/engine.h"
#include "tests/runtime/model_harness.h"

namespace sluice {

// A model for `sequences` at once, and an engine over it.
struct TestEngine {
  struct Config {
    int64_t sequences = 1;
    int64_t pass_rows = 64;
    int64_t kv_pages = 8;
    int64_t kv_disk_pages = 0;  // of these
    int64_t context = 256;
    int64_t draft_rows = 0;
    bool keeps_hidden = false;
    KvType kv = KvType::kQ8_0;
    Speculator* speculator = nullptr;
    bool swaps = false;  // where `resume` says so
    ResumeCosts resume = {};
    SlabStream::EngineFactory make_engine = &IoEngine::Create;
  };
  TestEngine(const LayerStore& store, const Tokenizer* tokenizer, const Config& config) : pool(1) {
    PlanRequest request;
    request.max_ram_bytes = int64_t{1} << 30;
    request.context_tokens = config.context;
    request.num_sequences = config.sequences;
    request.kv_pages = config.kv_pages;
    request.pass_rows = config.pass_rows;
    request.kv_disk_pages = config.kv_disk_pages;
    request.draft_rows = config.draft_rows;
    request.keeps_hidden = config.keeps_hidden;
    request.k_type = request.v_type = config.kv;
    ops = *MakeCpuOps(SupportedIsas().back(), &pool);
    place = MakeHostPlace(ops.get());
    ReadOptions read;
    if (config.swaps || config.kv_disk_pages > 0) read.io.scratch_dir = dir.path();
    read.make_engine = config.make_engine;
    model = *Model::Create(store, *PlanMemory(store, request), place.get(), read);
    engine.emplace(model.get(), tokenizer,
                   EngineOptions{config.sequences, 0, config.resume, config.speculator});
  }

  // Runs `requests` to their ends, in `order`.
  std::vector<SequenceResult> Run(const std::vector<SequenceRequest>& requests,
                                  const std::vector<size_t>& order) {
    std::vector<SequenceResult> results(requests.size());
    for (const size_t i : order) {
      SequenceRequest request = requests[i];
      request.on_finish = [&results, i](SequenceResult result) { results[i] = std::move(result); };
      EXPECT_TRUE(engine->Submit(std::move(request)).ok());
    }
    while (!engine->idle()) {
      const auto report = engine->Step();
      EXPECT_TRUE(report.ok()) << report.status();
      if (!report.ok()) break;
      EXPECT_LE(report->rows, model->plan().pass_rows);
    }
    return results;
  }

  TempDir dir;
  ThreadPool pool;
  std::unique_ptr<Ops> ops;
  std::unique_ptr<ComputePlace> place;
  std::unique_ptr<Model> model;
  std::optional<Engine> engine;
};

inline void ExpectSame(const SequenceResult& got, const SequenceResult& want) {
  EXPECT_EQ(got.ids, want.ids);
  EXPECT_EQ(got.text, want.text);
  EXPECT_EQ(got.finish_reason, want.finish_reason);
  EXPECT_EQ(got.text_offsets, want.text_offsets);
  const auto same = [](const LogProbList& a, const LogProbList& b) {
    bool equal = a.size() == b.size();
    for (size_t i = 0; equal && i < a.size(); ++i)
      equal = a[i].log_prob == b[i].log_prob && a[i].top == b[i].top;
    return equal;
  };
  EXPECT_TRUE(same(got.log_probs, want.log_probs));
  EXPECT_TRUE(same(got.prompt_log_probs, want.prompt_log_probs));
}

class EngineTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    store_ = new TestStore("TinyStories-656K", "", 50000);
    tokenizer_ = Tokenizer::Load((*store_)->TokenizerDir())->release();
    const HyperParameters& h = (*store_)->hyper_parameters();
    constraint_ =
        *Constraints(tokenizer_, h.vocab_size, h.eos_token_ids)
             .For({GrammarKind::kGbnf, "root ::= (\" \" [A-Za-z]+ [,.]?){1,12} \"\\n\"?"});
  }
  static void TearDownTestSuite() {
    constraint_.reset();
    delete tokenizer_;
    delete store_;
  }

  // Requests of all kinds and lengths; some share a prefix of more than a page.
  static std::vector<SequenceRequest> Requests(size_t n) {
    const std::string story =
        "Once upon a time there was a little girl named Lily. She loved to play outside. ";
    std::string prefix;
    for (int i = 0; i < 6; ++i) prefix += story;
    const char* const prompts[] = {"Once upon a time", "The dog",
                                   "Tom and his mom went to the park. Tom saw"};
    std::mt19937 random(1);
    std::vector<SequenceRequest> requests;
    for (size_t i = 0; i < n; ++i) {
      SequenceRequest request;
      const std::string text = (i % 3 == 0 ? prefix : "") + prompts[random() % 3];
      request.prompt = *tokenizer_->Encode(text);
      request.max_new_tokens = static_cast<int64_t>(i % 6 == 1 ? 200 : random() % 40);
      request.ignore_eos = i % 6 == 1;
      request.sampler.temperature = i % 4 == 0 ? 0 : 0.9;
      request.sampler.top_p = i % 4 == 1 ? 0.9 : 1;
      request.sampler.seed = i;
      if (i % 5 == 0) request.sampler.frequency_penalty = 0.7;
      if (i % 6 == 2) request.stop = {" the", "."};
      if (i % 4 == 2) request.top_logprobs = 2;
      request.prompt_logprobs = i % 8 == 2;
      if (i % 7 == 3) request.constraint = constraint_;
      if (i % 5 == 3) request.min_new_tokens = 20;
      if (i % 9 == 4) {
        request.sampler.top_k = 20;
        request.sampler.min_p = 0.02;
        request.sampler.repeat_penalty = 1.2;
        request.skip_special = false;
        request.show_stop = true;
      }
      requests.push_back(std::move(request));
    }
    return requests;
  }

  // Requests that begin with a page or two and end with three or four; four share their first page.
  static std::vector<SequenceRequest> LongRequests() {
    std::vector<SequenceRequest> requests = Requests(12);
    for (size_t i = 0; i < requests.size(); ++i) {
      SequenceRequest& request = requests[i];
      const size_t length = i % 3 == 0 ? 70 : 5 + i * 23 % 50;
      while (request.prompt.size() < length)
        request.prompt.push_back(request.prompt[request.prompt.size() / 2]);
      request.prompt.resize(length);
      request.max_new_tokens = static_cast<int64_t>(120 + 37 * i % 71);
      request.ignore_eos = true;
      request.stop.clear();
      request.constraint = nullptr;
    }
    return requests;
  }

  static inline TestStore* store_ = nullptr;
  static inline const Tokenizer* tokenizer_ = nullptr;
  // Some of the requests share it.
  static inline std::shared_ptr<grammar::Constraint> constraint_;
};

}  // namespace sluice

#endif  // SLUICE_TESTS_RUNTIME_ENGINE_HARNESS_H_
