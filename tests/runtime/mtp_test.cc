// A head that drafts (MTP): its numbers, its acceptance, and texts that stay the same.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/open/draft_model.h"
#include "runtime/speculate/model_drafter.h"
#include "runtime/speculate/speculator.h"
#include "storage/store/store_paths.h"
#include "tests/runtime/engine_harness.h"
#include "tests/support/mimo_checkpoint.h"
#include "tests/support/reference_file.h"

namespace sluice {
namespace {

// Between what the head that was trained reaches and what it reaches where it is wired otherwise,
// on a text of which all is known; and the same of texts that bard writes, which are easier.
// tests/data/models/bard-6.7M-mtp/README.md has the numbers.
constexpr double kLeastAgreement = 0.48;
constexpr double kLeastAccepted = 0.5;

// A store of bard-6.7M with its head, in MiMo's layout.
class MimoStore {
 public:
  explicit MimoStore(const std::function<void(MimoTensors*)>& edit = nullptr) {
    WriteMimoCheckpoint(dir_ / "mimo", edit);
    model_ = std::make_unique<TestStore>(dir_ / "mimo", "", 50000);
    head_ = *LayerStore::Open(MtpHeadDir((*model_)->dir()));
  }
  const LayerStore& model() const { return **model_; }
  const LayerStore& head() const { return *head_; }

 private:
  TempDir dir_;
  std::unique_ptr<TestStore> model_;
  std::unique_ptr<LayerStore> head_;
};

int64_t Largest(absl::Span<const float> logits) {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

// What a pass gives of one new sequence. `hidden` has a row for each of `tokens`, or none.
struct PassOutput {
  std::vector<float> logits;
  std::vector<float> hidden;
};
PassOutput RunOnce(const LayerStore& store, const std::vector<int32_t>& tokens,
                   absl::Span<const float> hidden = {}) {
  const TestModel test(store, {.name = "hidden", .keeps_hidden = true});
  const auto n = static_cast<size_t>(store.hyper_parameters().hidden_size);
  KvSequence sequence;
  EXPECT_TRUE(test.model->kv_cache().Reserve(sequence, static_cast<int64_t>(tokens.size())).ok());
  std::vector<PassRow> rows;
  for (size_t i = 0; i < tokens.size(); ++i) {
    rows.push_back({&sequence, static_cast<int64_t>(i), tokens[i], true});
    if (!hidden.empty()) rows.back().hidden = hidden.subspan(i * n, n);
  }
  const auto logits = test.model->RunPass(rows);
  EXPECT_TRUE(logits.ok()) << logits.status();
  PassOutput output;
  if (logits.ok()) output.logits.assign(logits->begin(), logits->end());
  const absl::Span<const float> kept = test.model->hidden_rows();
  output.hidden.assign(kept.begin(), kept.end());
  test.model->kv_cache().Release(sequence);
  return output;
}

std::vector<int32_t> HeldOutTokens(const LayerStore& store, size_t count) {
  const auto tokenizer = *Tokenizer::Load(store.TokenizerDir());
  std::vector<int32_t> tokens =
      *tokenizer->Encode(ReadData("text/bard-heldout.txt").substr(0, 4000));
  EXPECT_GE(tokens.size(), count);
  tokens.resize(count);
  return tokens;
}

// The share of tokens of a text that bard has not seen at which the head's first choice is the
// model's. `shift`: the head gets the hidden row of so many tokens earlier.
double Agreement(const LayerStore& model, const LayerStore& head_store, size_t shift = 0) {
  const std::vector<int32_t> tokens = HeldOutTokens(model, 400);
  PassOutput target = RunOnce(model, tokens);
  const auto n = static_cast<size_t>(model.hyper_parameters().hidden_size);
  const auto vocab_size = static_cast<size_t>(model.hyper_parameters().vocab_size);
  target.hidden.insert(target.hidden.begin(), shift * n, 0.0F);
  const size_t count = tokens.size() - 1;
  const PassOutput head = RunOnce(head_store, {tokens.begin() + 1, tokens.end()},
                                  absl::MakeConstSpan(target.hidden).first(count * n));
  const auto choice = [&](const PassOutput& output, size_t row) {
    return Largest(absl::MakeConstSpan(output.logits).subspan(row * vocab_size, vocab_size));
  };
  size_t same = 0;
  for (size_t i = 0; i < count; ++i) same += choice(head, i) == choice(target, i + 1);
  return static_cast<double>(same) / static_cast<double>(count);
}

// The halves of input_proj in each other's place, as a head that reads the token first has them.
void SwapHalves(MimoTensors* tensors) {
  MimoTensor& merge = tensors->at("model.mtp_layers.0.input_proj.weight");
  const auto n = merge.shape[0];
  for (int64_t row = 0; row < n; ++row) {
    const auto begin = merge.values.begin() + row * 2 * n;
    std::swap_ranges(begin, begin + n, begin + n);
  }
}

// The same model and head, but with a final norm whose columns differ by a factor of 16: the
// columns of the output matrix and of the head's norm for hidden rows make up for it. As every
// fourth column is 4 times larger, and the others smaller, a row's root mean square doubles.
void ScaleFinalNorm(MimoTensors* tensors) {
  const auto scale = [&](const std::string& name, int sign, int all) {
    for (size_t i = 0; uint16_t & value : tensors->at(name).values) {
      const int exponent = sign * (i++ % 4 == 0 ? 2 : -2) + all;
      if ((value & 0x7F80) != 0) value = static_cast<uint16_t>(value + exponent * 128);
    }
  };
  (*tensors)["lm_head.weight"] = tensors->at("model.embed_tokens.weight");
  scale("model.norm.weight", 1, 0);
  scale("model.mtp_layers.0.final_layernorm.weight", 1, 0);
  scale("model.mtp_layers.0.hidden_layernorm.weight", -1, 1);
  scale("lm_head.weight", -1, 0);
}

TEST(MtpHead, GivesTheNumbersOfItsTraining) {
  const MimoStore stores;
  const ReferenceFile golden(TestDataPath("models/bard-6.7M-mtp/golden.safetensors"));
  const std::vector<int32_t> ids = golden.Get<int32_t>("input_ids");
  const int64_t n = stores.head().hyper_parameters().hidden_size;
  std::vector<float> hidden;
  for (int64_t row = 0; row < static_cast<int64_t>(ids.size()); ++row) {
    for (int64_t column = 0; column < n; ++column) {
      hidden.push_back(static_cast<float>((257 * row + 31 * column) % 101 - 50) / 25);
    }
  }
  const PassOutput output = RunOnce(stores.head(), ids, hidden);
  // Both add in f32, in another order; logits are up to 30.
  const auto near = [](const std::vector<float>& want) {
    return testing::Pointwise(testing::FloatNear(2e-3F), want);
  };
  EXPECT_THAT(output.logits, near(golden.Get<float>("logits")));
  EXPECT_THAT(output.hidden, near(golden.Get<float>("hidden")));
}

TEST(MtpHead, RefusesRowsWithoutHiddenRows) {
  const MimoStore stores;
  const TestModel test(stores.head(), {.name = "without"});
  EXPECT_TRUE(absl::IsInternal(LogitsOf(*test.model, {5, 6}).status()));
}

TEST(MtpHead, KnowsBardsNextChoiceOnlyAsItWasTrained) {
  const MimoStore stores;
  const double trained = Agreement(stores.model(), stores.head());
  RecordProperty("agreement", std::to_string(trained));
  EXPECT_GT(trained, kLeastAgreement);
  const MimoStore swapped(SwapHalves);
  EXPECT_LT(Agreement(swapped.model(), swapped.head()), kLeastAgreement / 2);
  EXPECT_LT(Agreement(stores.model(), stores.head(), /*shift=*/1), kLeastAgreement);
  // Rows in front of the final norm would do for bard's, which is nearly even, but not for this
  // one.
  const MimoStore scaled(ScaleFinalNorm);
  EXPECT_GT(Agreement(scaled.model(), scaled.head()), kLeastAgreement);
  EXPECT_LT(Agreement(stores.model(), scaled.head()), kLeastAgreement);
}

// An engine's drafter over the head.
struct HeadDraft {
  HeadDraft(const LayerStore& head, int64_t context, int64_t sequences)
      : pool(1), ops(*MakeCpuOps(SupportedIsas().back(), &pool)) {
    draft.store = *LayerStore::Open(head.dir());
    draft.plan = *PlanDraft(*draft.store, options, context, sequences);
    EXPECT_TRUE(StartDraft(options, ops.get(), &draft).ok());
  }
  std::unique_ptr<Speculator> SpeculatorOver(SpeculatorOptions speculate) {
    auto speculator = std::make_unique<Speculator>(
        speculate, std::vector<Calibration::Priors>{ModelDrafter::InitialRates()});
    const auto vocab_size = static_cast<int32_t>(draft.store->hyper_parameters().vocab_size);
    speculator->Add(std::make_unique<ModelDrafter>(
        draft.model.get(), ModelDrafterOptions{.source = 0, .vocab_size = vocab_size},
        speculator->calibration()));
    return speculator;
  }
  OpenOptions options = {.num_threads = 1};
  ThreadPool pool;
  std::unique_ptr<Ops> ops;
  DraftModel draft;
};

class MtpDrafterTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    stores_ = new MimoStore;
    tokenizer_ = Tokenizer::Load(stores_->model().TokenizerDir())->release();
  }
  static void TearDownTestSuite() {
    delete tokenizer_;
    delete stores_;
  }
  // Texts that go on behind pieces of the held-out text, of one page to two, some at a temperature.
  static std::vector<SequenceRequest> Requests(int count, int64_t new_tokens) {
    const std::vector<int32_t> tokens = HeldOutTokens(stores_->model(), 1000);
    std::vector<SequenceRequest> requests;
    for (int i = 0; i < count; ++i) {
      SequenceRequest& request = requests.emplace_back();
      const auto begin = tokens.begin() + 70 * i;
      request.prompt.assign(begin, begin + 40 + 11 * i % 50);
      request.max_new_tokens = new_tokens + 13 * i % 40;
      request.ignore_eos = true;
      request.sampler.temperature = i % 2 == 0 ? 0 : 0.8;
      request.sampler.seed = static_cast<uint64_t>(i);
    }
    return requests;
  }
  static std::vector<SequenceResult> Run(const std::vector<SequenceRequest>& requests,
                                         const TestEngine::Config& config,
                                         const MimoStore* stores = stores_) {
    TestEngine test(stores->model(), tokenizer_, config);
    std::vector<size_t> order;
    for (size_t i = 0; i < requests.size(); ++i) order.push_back(i);
    return test.Run(requests, order);
  }

  static inline MimoStore* stores_ = nullptr;
  static inline const Tokenizer* tokenizer_ = nullptr;
};

// Sequences that share passes of the head, longer than its window, preempted and taken up again,
// with prompts of several passes.
TEST_F(MtpDrafterTest, GivesThePlainTextOfManySequences) {
  const std::vector<SequenceRequest> requests = Requests(8, 120);
  const std::vector<SequenceResult> want = Run(requests, {.kv_pages = 8});
  HeadDraft head(stores_->head(), 96, 3);
  auto speculator = head.SpeculatorOver({.adapts = false});
  const std::vector<SequenceResult> got = Run(requests, {.sequences = 3,
                                                         .pass_rows = 40,
                                                         .kv_pages = 9,
                                                         .draft_rows = 30,
                                                         .keeps_hidden = true,
                                                         .speculator = speculator.get()});
  for (size_t i = 0; i < got.size(); ++i) ExpectSame(got[i], want[i]);
  EXPECT_TRUE(speculator->failures().empty()) << speculator->failures()[0];
  EXPECT_GE(speculator->counters().accepted_by_depth.size(), 2);
  speculator.reset();
  EXPECT_EQ(head.draft.model->kv_cache().pool().available(), head.draft.plan.kv_pages);
}

// The engine's hidden rows are those that the head was trained with: its first choices are right as
// often as they are where all rows are known.
TEST_F(MtpDrafterTest, FirstChoicesAreRightAsOftenAsTheHeadCanBe) {
  const std::vector<SequenceRequest> requests = Requests(6, 100);
  const auto accepted = [&](const MimoStore& stores) {
    HeadDraft head(stores.head(), 256, 1);
    auto speculator = head.SpeculatorOver({.draft_max = 1, .most_depth = 1, .adapts = false});
    Run(requests, {.draft_rows = 1, .keeps_hidden = true, .speculator = speculator.get()}, &stores);
    const SpeculationCounters counters = speculator->counters();
    EXPECT_GT(counters.draft_rows, 100);
    return static_cast<double>(counters.accepted_by_depth[0]) /
           static_cast<double>(counters.draft_rows);
  };
  const double trained = accepted(*stores_);
  RecordProperty("accepted", std::to_string(trained));
  EXPECT_GT(trained, kLeastAccepted);
  EXPECT_GT(accepted(MimoStore(ScaleFinalNorm)), kLeastAccepted);
  EXPECT_LT(accepted(MimoStore(SwapHalves)), kLeastAccepted / 2);
}

// What begins as the last text did goes on with the head's rows of that, where the engine has the
// target's rows in its cache and computes no hidden row of them.
TEST_F(MtpDrafterTest, GoesOnWhereACacheHasTheFirstRows) {
  SequenceRequest request = Requests(1, 40)[0];
  while (request.prompt.size() < 150)
    request.prompt.push_back(request.prompt[request.prompt.size() / 3]);
  HeadDraft head(stores_->head(), 256, 1);
  const auto speculator = head.SpeculatorOver({.adapts = false});
  TestEngine test(
      stores_->model(), tokenizer_,
      {.kv_pages = 8, .draft_rows = 8, .keeps_hidden = true, .speculator = speculator.get()});
  const SequenceResult first = test.Run({request}, {0})[0];
  const int64_t rows = head.draft.model->pass_counters().rows;
  const int64_t accepted = speculator->counters().accepted_by_depth[0];
  request.prompt.insert(request.prompt.end(), first.ids.begin(), first.ids.end());
  const SequenceResult second = test.Run({request}, {0})[0];
  EXPECT_LT(head.draft.model->pass_counters().rows - rows, rows);
  EXPECT_GT(speculator->counters().accepted_by_depth[0], accepted);
  EXPECT_EQ(second.ids, Run({request}, {.kv_pages = 8})[0].ids);
  // Behind another text in between, the head has nothing of it and begins behind the gap.
  test.Run({Requests(2, 40)[1]}, {0});
  const int64_t before = speculator->counters().draft_rows;
  EXPECT_EQ(test.Run({request}, {0})[0].ids, second.ids);
  EXPECT_GT(speculator->counters().draft_rows, before);
}

TEST_F(MtpDrafterTest, PlansCountHiddenRows) {
  OpenOptions options = {.num_threads = 1};
  const MemoryPlan plan = *PlanDraft(stores_->head(), options, 4096, 1);
  const int64_t row_bytes = stores_->head().hyper_parameters().hidden_size * int64_t{4};
  const auto bytes_of = [&](const std::string& name) {
    for (const PlanItem& item : plan.host().items) {
      if (item.name == name) return item.bytes;
    }
    return int64_t{0};
  };
  EXPECT_GE(bytes_of("hidden rows"), plan.pass_rows * row_bytes);
  EXPECT_GE(bytes_of("drafts"), 2 * 1024 * row_bytes);
  // Sequences share the window.
  const MemoryPlan many = *PlanDraft(stores_->head(), options, 4096, 8);
  EXPECT_LT(many.request.context_tokens, plan.request.context_tokens / 2);
}

}  // namespace
}  // namespace sluice
