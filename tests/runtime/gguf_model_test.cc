// Models in GGUF files: greedy ids and perplexities of transformers and llama.cpp.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/engine/generator.h"
#include "runtime/engine/scorer.h"
#include "runtime/text/tokenizer/tokenizer.h"
#include "tests/runtime/model_harness.h"
#include "tests/support/reference_file.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr char kShared[] = SLUICE_SOURCE_DIR "/../shared/fixtures/";

// A GGUF model of tests/data/models, else of shared/fixtures/models; empty where neither has it.
std::string FindModel(const std::string& name) {
  for (const std::string& path : {TestDataPath("models/" + name), kShared + ("models/" + name)}) {
    if (std::filesystem::exists(path)) return path;
  }
  return "";
}

// The store that `sluice shard` makes of a GGUF file, or with `f32` that of its weights, decoded.
class GgufStore {
 public:
  explicit GgufStore(const std::string& path, bool f32 = false) {
    const auto checkpoint = Checkpoint::Open(path);
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    ShardOptions options{.num_threads = 2};
    if (f32) {
      options.recipe = *ParseRecipe("f32");
      options.allow_requantize = true;
    }
    const auto result = Shard(**checkpoint, dir_ / "store", options);
    EXPECT_TRUE(result.ok()) << result.status();
    auto store = LayerStore::Open(dir_ / "store");
    EXPECT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    auto tokenizer = Tokenizer::Load(store_->TokenizerDir());
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }
  const LayerStore& operator*() const { return *store_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  TempDir dir_;
  std::unique_ptr<LayerStore> store_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

// Greedy ids must be the reference's up to the first step at which its two best logits are closer
// than `least_gap`; from there on the texts may go apart.
void CheckCompletions(const GgufStore& store, const json& completions, double least_gap) {
  for (const json& completion : completions) {
    const std::string prompt = completion["prompt"];
    const auto ids = store.tokenizer().Encode(prompt);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, completion["prompt_ids"].get<std::vector<int32_t>>()) << prompt;
    const auto gaps = completion["gaps"].get<std::vector<double>>();
    const auto small =
        std::find_if(gaps.begin(), gaps.end(), [&](double gap) { return gap < least_gap; });
    std::vector<int32_t> expected = completion["greedy_ids"];
    expected.resize(small - gaps.begin());
    if (expected.empty()) continue;

    TestModel model(*store, {.num_threads = 2, .all_logits = false});
    GenerateOptions options;
    options.max_new_tokens = static_cast<int64_t>(expected.size());
    options.sampler.temperature = 0;
    options.ignore_eos = true;
    const auto result = Generate(*model.model, nullptr, *ids, options);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->ids, expected) << prompt;
  }
}

class BardGguf : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    path_ = FindModel("bard-6.7M-gguf/bard-" + std::string(GetParam()) + ".gguf");
    if (path_.empty()) {
      GTEST_SKIP() << "no bard-" << GetParam()
                   << ".gguf in shared/fixtures/models/bard-6.7M-gguf beside this checkout";
    }
  }
  json Completions() const {
    const json golden = json::parse(ReadWholeFile(TestDataPath("golden/bard-6.7m-gguf.json")));
    return golden["files"]["bard-" + std::string(GetParam()) + ".gguf"]["completions"];
  }
  std::string path_;
};

// The reference multiplied decoded weights in f32; so does this store, and even its ties come out
// the same.
TEST_P(BardGguf, ContinuesPromptsAsTheReferenceDoesWithDecodedWeights) {
  CheckCompletions(GgufStore(path_, /*f32=*/true), Completions(), 0);
}

// Products of quantized weights round activations to int8, which the reference did not. That moves
// logits by some hundredths.
TEST_P(BardGguf, ContinuesPromptsAsTheReferenceDoesWhereItsChoiceIsClear) {
  CheckCompletions(GgufStore(path_), Completions(), 0.05);
}

// Those types that llama.cpp's numbers are there for.
class BardGgufPerplexity : public BardGguf {};

TEST_P(BardGgufPerplexity, IsLlamaCppsWithinHalfAPercent) {
  const json golden =
      json::parse(ReadWholeFile(TestDataPath("golden/bard-6.7m.json")))["perplexity_llama_cpp"];
  const double expected = golden[GetParam()];
  const GgufStore store(path_);
  const auto tokens = store.tokenizer().Encode(ReadWholeFile(TestDataPath("text/bard-heldout.txt")),
                                               {.add_special_tokens = false});
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  TestModel model(*store, {.chunk = 256, .num_threads = 2, .context = 256});
  const auto result = Perplexity(*model.model, *tokens, 0, {.rule = PerplexityRule::kLlamaCpp},
                                 nullptr, [](int64_t, int64_t, const PerplexityResult&) {});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->num_tokens, 13843);
  EXPECT_NEAR(result->perplexity / expected, 1, 0.005);
  RecordProperty("perplexity", std::to_string(result->perplexity / expected));
}

#ifdef SLUICE_SANITIZED
// The numbers are the optimized build's business.
INSTANTIATE_TEST_SUITE_P(All, BardGguf, testing::Values("q4_k_m"));
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BardGgufPerplexity);
#else
INSTANTIATE_TEST_SUITE_P(All, BardGgufPerplexity,
                         testing::Values("q8_0", "q6_k", "q5_k", "q4_k", "q4_k_m", "q4_0", "q3_k",
                                         "q2_k"),
                         [](const auto& info) { return std::string(info.param); });
INSTANTIATE_TEST_SUITE_P(All, BardGguf,
                         testing::Values("bf16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_k_m", "q4_0",
                                         "q3_k", "q2_k"),
                         [](const auto& info) { return std::string(info.param); });
#endif

// f32 and f16 weights, SentencePiece vocabularies; what differs from the reference is the order of
// sums.
TEST(SmallGgufModels, ContinuePromptsAsTransformersDoes) {
  const json golden = json::parse(ReadWholeFile(TestDataPath("golden/gguf.json")));
  std::string missing;
  for (const auto& [name, completions] : golden["files"].items()) {
    const std::string path = FindModel(name);
    if (path.empty()) {
      missing += " " + name;
      continue;
    }
    CheckCompletions(GgufStore(path), completions, 1e-4);
  }
  if (!missing.empty())
    GTEST_SKIP() << "not in shared/fixtures/models beside this checkout:" << missing;
}

}  // namespace
}  // namespace sluice
