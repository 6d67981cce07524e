// The trained models: completions, likelihoods and perplexities of transformers and llama.cpp.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/encodings/encoding.h"
#include "nlohmann/json.hpp"
#include "runtime/engine/generator.h"
#include "runtime/engine/scorer.h"
#include "runtime/text/tokenizer/tokenizer.h"
#include "storage/store/export.h"
#include "tests/runtime/model_harness.h"
#include "tests/support/reference_file.h"

namespace sluice {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

struct Trained {
  const char* model;
  const char* golden;
  const char* text;
  int64_t tokens;
  int64_t stride;
};
constexpr Trained kTrained[] = {
    {"bard-6.7M", "golden/bard-6.7m.json", "text/bard-heldout.txt", 8192, 255},
    {"TinyStories-656K", "golden/tinystories-656k.json", "text/tinystories-sample.txt", 4096, 256},
    // The reference was computed over windows of 255 tokens that begin 256 apart.
};

#ifdef SLUICE_SANITIZED
// Four windows of 256.
constexpr int64_t kSanitizedTokens = 1024;
#endif

class TrainedModel : public testing::TestWithParam<Trained> {
 protected:
  json golden_ = json::parse(ReadWholeFile(TestDataPath(GetParam().golden)));
};

PerplexityResult MeasurePerplexity(const LayerStore& store, const std::string& text_file,
                                   int64_t max_tokens, const PerplexityOptions& options,
                                   bool fast_math = false) {
  const auto tokenizer = Tokenizer::Load(store.TokenizerDir());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  auto tokens =
      (*tokenizer)->Encode(ReadWholeFile(TestDataPath(text_file)), {.add_special_tokens = false});
  EXPECT_TRUE(tokens.ok()) << tokens.status();
  if (max_tokens > 0) tokens->resize(max_tokens);
  TestModel model(store, {.chunk = 256, .num_threads = 2, .context = 256, .fast_math = fast_math});
  const auto result = Perplexity(
      *model.model, *tokens, static_cast<int32_t>(*store.hyper_parameters().bos_token_id), options,
      nullptr, [](int64_t, int64_t, const PerplexityResult&) {});
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *result : PerplexityResult();
}

TEST_P(TrainedModel, CompletesPromptsAsTransformersDoes) {
  const TestStore store(GetParam().model, "", 100000);
  const auto tokenizer = Tokenizer::Load(store->TokenizerDir());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  for (const json& completion : golden_["completions"]) {
    const std::string prompt = completion["prompt"];
    const auto ids = (*tokenizer)->Encode(prompt);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, completion["prompt_ids"].get<std::vector<int32_t>>()) << prompt;

    TestModel model(*store, {.placement = Placement::kHalf, .num_threads = 2, .all_logits = false});
    GenerateOptions options;
    options.max_new_tokens = static_cast<int64_t>(completion["greedy_ids"].size());
    options.sampler.temperature = 0;
    options.ignore_eos = true;
    std::string streamed;
    options.on_text = [&](absl::string_view text) {
      streamed.append(text.data(), text.size());
      return absl::OkStatus();
    };
    const auto result = Generate(*model.model, tokenizer->get(), *ids, options);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->ids, completion["greedy_ids"].get<std::vector<int32_t>>()) << prompt;
    EXPECT_EQ(result->text, completion["text"].get<std::string>());
    EXPECT_EQ(streamed, result->text);
  }
}

TEST_P(TrainedModel, GivesATextTheLikelihoodOfTransformers) {
  const TestStore store(GetParam().model, "", 1 << 20);
#ifdef SLUICE_SANITIZED
  // The numbers, which are the optimized build's to the last bit, are of more tokens than a
  // sanitizer needs to see how memory and threads are used.
  const PerplexityResult few =
      MeasurePerplexity(*store, GetParam().text, kSanitizedTokens,
                        {.rule = PerplexityRule::kEveryToken, .stride = GetParam().stride});
  EXPECT_NEAR(few.mean_nll, golden_["nll"]["mean_nll"].get<double>(), 0.5);
  return;
#endif
  const PerplexityResult result =
      MeasurePerplexity(*store, GetParam().text, GetParam().tokens,
                        {.rule = PerplexityRule::kEveryToken, .stride = GetParam().stride});
  EXPECT_EQ(result.num_tokens, golden_["nll"]["num_tokens"].get<int64_t>());
  EXPECT_NEAR(result.mean_nll, golden_["nll"]["mean_nll"].get<double>(),
              1e-4);  // the bound
}

INSTANTIATE_TEST_SUITE_P(All, TrainedModel, testing::ValuesIn(kTrained),
                         [](const testing::TestParamInfo<Trained>& info) {
                           return std::string(info.param.model, 4);
                         });

TEST(Perplexity, OfEachEncodingIsAtMostHalfAPercentAboveLlamaCpp) {
  const json golden =
      json::parse(ReadWholeFile(TestDataPath("golden/bard-6.7m.json")))["perplexity_llama_cpp"];
#ifdef SLUICE_SANITIZED
  // The numbers are the optimized build's business; here one encoding and a part of the text show
  // that memory is used well.
  const TestStore few("bard-6.7M", "q4_k_m", kDefaultSlabBytes);
  EXPECT_NEAR(MeasurePerplexity(*few, "text/bard-heldout.txt", kSanitizedTokens,
                                {.rule = PerplexityRule::kLlamaCpp})
                  .mean_nll,
              std::log(golden["q4_k_m"].get<double>()), 0.5);
  return;
#endif
  const std::vector<std::string> recipes = {"f32",    "q8_0", "q6_k", "q5_k", "q4_k",
                                            "q4_k_m", "q4_0", "q3_k", "q2_k"};
  for (const std::string& recipe : recipes) {
    const TestStore store("bard-6.7M", recipe, kDefaultSlabBytes);
    const PerplexityResult result =
        MeasurePerplexity(*store, "text/bard-heldout.txt", -1, {.rule = PerplexityRule::kLlamaCpp});
    EXPECT_EQ(result.num_tokens, 13843);
    EXPECT_LE(result.perplexity, 1.005 * golden[recipe].get<double>()) << recipe;
    EXPECT_GE(result.perplexity, 0.99 * golden["f32"].get<double>())
        << recipe << ": too good to be true";
    RecordProperty("perplexity_" + recipe, std::to_string(result.perplexity));
  }
}

// Writes `store`'s weights, decoded, as a checkpoint of f32 in the new folder `dir`.
void WriteDequantized(const LayerStore& store, const std::string& dir) {
  fs::create_directory(dir);
  const std::string source = TestDataPath("models/bard-6.7M");
  fs::copy(source + "/tokenizer.json", dir);
  json config = json::parse(ReadWholeFile(source + "/config.json"));
  config["dtype"] = "float32";
  config["tie_word_embeddings"] = false;  // embedding and head may have become different encodings
  std::ofstream(dir + "/config.json") << config;
  json header;
  std::vector<float> values;
  for (size_t i = 0; i < store.manifest().tensors.size(); ++i) {
    const ManifestTensor& tensor = store.manifest().tensors[i];
    std::vector<std::byte> stored;
    ASSERT_TRUE(ReadTensor(store, static_cast<int>(i), [&](absl::Span<const std::byte> part) {
                  stored.insert(stored.end(), part.begin(), part.end());
                  return absl::OkStatus();
                }).ok());
    const int64_t columns = tensor.shape.back();
    const int64_t row_bytes = RowBytes(tensor.encoding, columns);
    const int64_t rows = static_cast<int64_t>(stored.size()) / row_bytes;
    const size_t begin = values.size();
    values.resize(begin + rows * columns);
    for (int64_t row = 0; row < rows; ++row) {
      DecodeRow(tensor.encoding, stored.data() + row * row_bytes, columns,
                values.data() + begin + row * columns);
    }
    header[tensor.role == TensorRole::kHead ? "lm_head.weight" : tensor.name] = {
        {"dtype", "F32"},
        {"shape", tensor.shape},
        {"data_offsets", {4 * begin, 4 * values.size()}}};
  }
  const std::string text = header.dump();
  const uint64_t header_bytes = text.size();
  std::ofstream file(dir + "/model.safetensors", std::ios::binary);
  file.write(reinterpret_cast<const char*>(&header_bytes), 8).write(text.data(), text.size());
  file.write(reinterpret_cast<const char*>(values.data()), 4 * values.size());
}

// What activations in int8 cost: the same weights, decoded and multiplied in f32.
TEST(Perplexity, OfQuantizedProductsIsThatOfExactOnesWithinAFifthOfAPercent) {
#ifdef SLUICE_SANITIZED
  const std::vector<std::string> recipes = {"q4_k_m"};
  constexpr int64_t kTokens = kSanitizedTokens;
#else
  const std::vector<std::string> recipes = {"q8_0", "q6_k", "q5_k", "q4_k",   "q4_k_m",
                                            "q4_0", "q2_k", "q5_1", "iq4_xs", "int4g64"};
  constexpr int64_t kTokens = 2048;  // docs/performance.md has the whole text's
#endif
  const PerplexityOptions options = {.rule = PerplexityRule::kLlamaCpp};
  for (const std::string& recipe : recipes) {
    const TestStore store("bard-6.7M", recipe, kDefaultSlabBytes);
    const TempDir dir;
    WriteDequantized(*store, dir / "exact");
    const auto checkpoint = Checkpoint::Open(dir / "exact");
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    ASSERT_TRUE(Shard(**checkpoint, dir / "store", {.num_threads = 2}).ok());
    const auto exact = LayerStore::Open(dir / "store");
    ASSERT_TRUE(exact.ok()) << exact.status();
    const double nll =
        MeasurePerplexity(*store, "text/bard-heldout.txt", kTokens, options).mean_nll;
    const double exact_nll =
        MeasurePerplexity(**exact, "text/bard-heldout.txt", kTokens, options).mean_nll;
    EXPECT_NE(nll, exact_nll) << recipe << ": the same number means that both took the same way";
    EXPECT_NEAR(nll / exact_nll, 1, 0.002) << recipe;  // the bound that docs/performance.md states
    RecordProperty("mean_nll_" + recipe, std::to_string(nll));
    RecordProperty("exact_mean_nll_" + recipe, std::to_string(exact_nll));
  }
}

// What --fast-math costs, and that it stays independent of a row's company.
TEST(FastMath, MovesTheLikelihoodByLessThanAFifthOfAPercentAndRowsStayOnTheirOwn) {
  if (!RoundsActivations(SupportedIsas().back())) GTEST_SKIP() << "this CPU has no AVX512_BF16";
  const TestStore store("bard-6.7M", "", kDefaultSlabBytes);  // bf16
#ifdef SLUICE_SANITIZED
  constexpr int64_t kTokens = kSanitizedTokens;
#else
  constexpr int64_t kTokens = 4096;  // docs/performance.md has the whole text's
#endif
  const PerplexityOptions options = {.rule = PerplexityRule::kLlamaCpp};
  const double exact =
      MeasurePerplexity(*store, "text/bard-heldout.txt", kTokens, options).mean_nll;
  const double fast =
      MeasurePerplexity(*store, "text/bard-heldout.txt", kTokens, options, true).mean_nll;
  EXPECT_NE(fast, exact) << "the same number means that both took the same way";
  EXPECT_NEAR(fast / exact, 1, 0.002);  // the bound that docs/performance.md states
  RecordProperty("mean_nll_fast_math", std::to_string(fast));
  RecordProperty("mean_nll_exact", std::to_string(exact));

  std::vector<int32_t> tokens(100);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(100 + 7 * i);
  const auto logits = [&](int64_t chunk, int threads) {
    TestModel model(*store, {.chunk = chunk, .num_threads = threads, .fast_math = true});
    return model.Logits(tokens);
  };
  const std::vector<float> whole = logits(100, 1);
  EXPECT_TRUE(whole == logits(1, 2));
  EXPECT_TRUE(whole == logits(13, 2));
}

TEST(Perplexity, RefusesTextsAndWindowsThatScoreNothing) {
  const TestStore store("TinyStories-656K", "", 1 << 20);
  TestModel model(*store, {.context = 64});
  const auto ignore = [](int64_t, int64_t, const PerplexityResult&) {};
  const std::vector<int32_t> tokens(100, 5);
  const auto refused = [&](const std::vector<int32_t>& text, const PerplexityOptions& options) {
    return !Perplexity(*model.model, text, 1, options, nullptr, ignore).ok();
  };
  EXPECT_TRUE(refused(tokens, {.context = 1}));
  EXPECT_TRUE(refused(tokens, {.context = 65})) << "more than the model was planned for";
  EXPECT_TRUE(refused({}, {.context = 64}));
  EXPECT_TRUE(refused({5, 6}, {.context = 64, .rule = PerplexityRule::kLlamaCpp}));
  EXPECT_TRUE(refused(tokens, {.context = 64, .stride = -1}));
  EXPECT_TRUE(refused(tokens, {.context = 64, .rule = PerplexityRule::kLlamaCpp, .stride = 8}))
      << "nobody would look at it";
}

}  // namespace
}  // namespace sluice
