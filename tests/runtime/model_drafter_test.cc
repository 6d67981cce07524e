// A second model that drafts: what it accepts of itself, its window, and what refuses it.
#include "runtime/speculate/model_drafter.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/open/draft_model.h"
#include "runtime/speculate/speculator.h"
#include "runtime/speculate/vocabulary_match.h"
#include "tests/runtime/engine_harness.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A draft over the tests' own store, with a plan of its own.
struct TestDraft {
  TestDraft(const std::string& dir, int64_t context, int64_t sequences)
      : pool(1), ops(*MakeCpuOps(SupportedIsas().back(), &pool)) {
    options.k_type = options.v_type = KvType::kQ8_0;  // as TestEngine has it
    draft.store = *LayerStore::Open(dir);
    draft.plan = *PlanDraft(*draft.store, options, context, sequences);
    EXPECT_TRUE(StartDraft(options, ops.get(), &draft).ok());
  }
  std::unique_ptr<Speculator> SpeculatorOver(int32_t vocab_size, SpeculatorOptions speculate,
                                             bool shares_noise = true) {
    auto speculator = std::make_unique<Speculator>(
        speculate, std::vector<Calibration::Priors>{ModelDrafter::InitialRates()});
    speculator->Add(std::make_unique<ModelDrafter>(
        draft.model.get(),
        ModelDrafterOptions{.source = 0, .vocab_size = vocab_size, .shares_noise = shares_noise},
        speculator->calibration()));
    return speculator;
  }
  OpenOptions options = {.num_threads = 1};
  ThreadPool pool;
  std::unique_ptr<Ops> ops;
  DraftModel draft;
};

// The likeliest path of another one's tree.
class ChainDrafter : public Drafter {
 public:
  explicit ChainDrafter(std::unique_ptr<Drafter> drafter) : drafter_(std::move(drafter)) {}
  void Observe(int64_t sequence, absl::Span<const int32_t> tokens) override {
    drafter_->Observe(sequence, tokens);
  }
  absl::Status Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) override {
    DraftTree whole;
    absl::Status status = drafter_->Propose(sequence, limits, &whole);
    std::vector<int32_t> all(static_cast<size_t>(whole.size()));
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int32_t>(i);
    whole = whole.Trimmed(all);
    for (int32_t i = 0; i < whole.size() && whole.DepthOf(i) == i + 1; ++i) {
      const DraftNode& node = whole.nodes()[i];
      tree->Add(i - 1, node.token, node.survival, node.source, node.bucket);
    }
    return status;
  }
  void Forget(int64_t sequence) override { drafter_->Forget(sequence); }
  absl::string_view name() const override { return "chain"; }

 private:
  const std::unique_ptr<Drafter> drafter_;
};

class ModelDrafterTest : public EngineTest {
 protected:
  static int32_t vocab_size() {
    return static_cast<int32_t>((*store_)->hyper_parameters().vocab_size);
  }
  static std::vector<SequenceResult> Plain(const std::vector<SequenceRequest>& requests) {
    TestEngine plain(**store_, tokenizer_, {.kv_pages = 8});
    std::vector<size_t> order;
    for (size_t i = 0; i < requests.size(); ++i) order.push_back(i);
    return plain.Run(requests, order);
  }
};

// Greedy and, as both draw with the same noise, at a temperature: each first choice that had a row
// is the target's.
TEST_F(ModelDrafterTest, ADraftThatIsTheTargetIsAlwaysRight) {
  for (const double temperature : {0.0, 0.8}) {
    SequenceRequest request;
    request.prompt = *tokenizer_->Encode("Once upon a time there was a");
    request.max_new_tokens = 121;
    request.ignore_eos = true;
    request.sampler.temperature = temperature;
    request.sampler.top_k = 40;
    request.sampler.seed = 9;
    const std::vector<SequenceResult> want = Plain({request});
    TestDraft draft((*store_)->dir(), 256, 1);
    Speculator speculator({.most_depth = 3, .adapts = false}, {ModelDrafter::InitialRates()});
    speculator.Add(std::make_unique<ChainDrafter>(std::make_unique<ModelDrafter>(
        draft.draft.model.get(), ModelDrafterOptions{.source = 0, .vocab_size = vocab_size()},
        speculator.calibration())));
    TestEngine test(**store_, tokenizer_,
                    {.kv_pages = 8, .draft_rows = 60, .speculator = &speculator});
    ExpectSame(test.Run({request}, {0})[0], want[0]);
    const SpeculationCounters counters = speculator.counters();
    int64_t accepted = 0;
    for (const int64_t nodes : counters.accepted_by_depth) accepted += nodes;
    EXPECT_EQ(accepted, counters.draft_rows) << temperature;
    EXPECT_GE(accepted, 80) << temperature;
  }
}

// Sequences that share passes of the draft, longer than its window, preempted and taken up again.
TEST_F(ModelDrafterTest, GivesThePlainTextOfManySequences) {
  const std::vector<SequenceRequest> requests = LongRequests();
  const std::vector<SequenceResult> want = Plain(requests);
  TestDraft draft((*store_)->dir(), 96, 3);
  auto speculator = draft.SpeculatorOver(vocab_size(), {.adapts = false});
  TestEngine test(
      **store_, tokenizer_,
      {.sequences = 3, .kv_pages = 9, .draft_rows = 30, .speculator = speculator.get()});
  std::vector<size_t> order;
  for (size_t i = 0; i < requests.size(); ++i) order.push_back(i);
  const std::vector<SequenceResult> got = test.Run(requests, order);
  for (size_t i = 0; i < got.size(); ++i) ExpectSame(got[i], want[i]);
  EXPECT_TRUE(speculator->failures().empty()) << speculator->failures()[0];
  EXPECT_GT(speculator->counters().accepted_by_depth.size(), 3);
  test.engine.reset();
  speculator.reset();
  EXPECT_EQ(draft.draft.model->kv_cache().pool().available(), draft.draft.plan.kv_pages);
}

// The next turn of a conversation goes on with what the draft has of the last one.
TEST_F(ModelDrafterTest, KeepsTheLastSequenceForOneThatBeginsAlike) {
  SequenceRequest request = LongRequests()[0];
  request.max_new_tokens = 20;
  TestDraft draft((*store_)->dir(), 256, 1);
  const auto speculator = draft.SpeculatorOver(vocab_size(), {.adapts = false});
  TestEngine test(**store_, tokenizer_,
                  {.kv_pages = 8, .draft_rows = 8, .speculator = speculator.get()});
  const SequenceResult first = test.Run({request}, {0})[0];
  const int64_t rows = draft.draft.model->pass_counters().rows;
  request.prompt.insert(request.prompt.end(), first.ids.begin(), first.ids.end());
  test.Run({request}, {0});
  const int64_t more = draft.draft.model->pass_counters().rows - rows;
  EXPECT_LT(more, rows) << "a prompt of " << request.prompt.size() << " tokens";
}

TEST_F(ModelDrafterTest, OwnNoiseIsRightLessOften) {
  SequenceRequest request;
  request.prompt = *tokenizer_->Encode("Tom and his dog");
  request.max_new_tokens = 150;
  request.ignore_eos = true;
  request.sampler.temperature = 1.2;
  request.sampler.seed = 4;
  int64_t passes[2];
  for (const bool shares : {false, true}) {
    TestDraft draft((*store_)->dir(), 256, 1);
    const auto speculator =
        draft.SpeculatorOver(vocab_size(), {.draft_max = 8, .adapts = false}, shares);
    TestEngine test(**store_, tokenizer_,
                    {.kv_pages = 8, .draft_rows = 8, .speculator = speculator.get()});
    test.Run({request}, {0});
    passes[shares] = speculator->counters().passes;
  }
  EXPECT_LT(passes[1], passes[0]);
}

TEST(VocabularyMatch, NamesTheFirstTokenThatDiffers) {
  const auto load = [](const char* model) {
    return *Tokenizer::Load(TestDataPath(std::string("models/") + model));
  };
  const auto bard = load("bard-6.7M");
  const auto stories = load("TinyStories-656K");
  EXPECT_TRUE(CheckSameVocabulary(*bard, "t", *bard, "d").ok());
  const absl::Status status = CheckSameVocabulary(*bard, "t.store", *stories, "d.store");
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(status.message(), AllOf(HasSubstr("d.store cannot draft for t.store"),
                                      HasSubstr("token "), HasSubstr(" there and ")));
}

}  // namespace
}  // namespace sluice
