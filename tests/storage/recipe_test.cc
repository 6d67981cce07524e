// Tests of recipes against what llama.cpp's quantizer chose for a real model.
#include "storage/model/recipe.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

HyperParameters Model(const std::string& architecture, int layers, int heads, int kv_heads) {
  HyperParameters h;
  h.architecture = architecture;
  h.hidden_size = 1024;
  h.intermediate_size = 2048;
  h.num_hidden_layers = layers;
  h.num_attention_heads = heads;
  h.num_key_value_heads = kv_heads;
  h.head_dim = 64;
  h.vocab_size = 512;
  return h;
}

TensorEncoding Choose(const std::string& recipe, const HyperParameters& h, TensorRole role,
                      int layer, int64_t k = 1024, Encoding dtype = Encoding::kBF16) {
  return ChooseEncoding({recipe}, h, {role, layer, "", {256, k}}, dtype);
}

TEST(Recipe, ParsesEncodingsAndMixesAndListsThemForOthers) {
  for (const EncodingInfo& info : Encodings())
    EXPECT_TRUE(ParseRecipe(info.name).ok()) << info.name;
  for (const std::string& mix : MixNames()) EXPECT_EQ(ParseRecipe(mix)->name, mix);
  EXPECT_THAT(MixNames(), Contains("q4_k_m"));
  for (const char* bad : {"", "Q4_K_M", "q4_k_l", "int3"}) {
    const absl::Status status = ParseRecipe(bad).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("q6_k")) << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr("q4_k_m")) << bad;
  }
}

// The types of the tensors in /work/shared/fixtures/models/bard-6.7M-gguf/bard-q4_k_m.gguf (8
// layers, tied), made by llama.cpp's llama-quantize; attn_v and ffn_down have the same pattern
// there.
TEST(Recipe, ChoosesWhatLlamaCppChoseForBard) {
  HyperParameters h = Model("LlamaForCausalLM", 8, 4, 2);
  h.tie_word_embeddings = true;
  const bool more[8] = {true, false, false, true, false, false, true, true};
  for (int layer = 0; layer < 8; ++layer) {
    for (const TensorRole role :
         {TensorRole::kQ, TensorRole::kK, TensorRole::kO, TensorRole::kGate, TensorRole::kUp}) {
      EXPECT_EQ(Choose("q4_k_m", h, role, layer).encoding, Encoding::kQ4_K) << layer;
    }
    const Encoding expected = more[layer] ? Encoding::kQ6_K : Encoding::kQ4_K;
    EXPECT_EQ(Choose("q4_k_m", h, TensorRole::kV, layer).encoding, expected) << layer;
    EXPECT_EQ(Choose("q4_k_m", h, TensorRole::kDown, layer).encoding, expected) << layer;
  }
  EXPECT_EQ(Choose("q4_k_m", h, TensorRole::kEmbedding, -1).encoding, Encoding::kQ6_K);
  EXPECT_EQ(Choose("q4_k_m", h, TensorRole::kHead, -1).encoding, Encoding::kQ6_K);
}

// By reading llama.cpp's llama_tensor_get_type. 32 layers: two are the first sixteenth, four the
// first eighth and the last; layers 6 and 9 are every third, 5 and 16 are not.
TEST(Recipe, OfEachMixGivesLlamaCppsEncodings) {
  using enum Encoding;
  struct Case {
    const char* mix;
    Encoding rest, o;
    // Of V and of down, in layers 0, 1, 2, 3, 5, 6, 16, 27, 28 and 31.
    std::vector<Encoding> v, down;
  };
  const int kLayers[] = {0, 1, 2, 3, 5, 6, 16, 27, 28, 31};
  const std::vector<Encoding> more5 = {kQ6_K, kQ6_K, kQ6_K, kQ6_K, kQ5_K,
                                       kQ6_K, kQ5_K, kQ6_K, kQ6_K, kQ6_K};
  const std::vector<Encoding> more4 = {kQ6_K, kQ6_K, kQ6_K, kQ6_K, kQ4_K,
                                       kQ6_K, kQ4_K, kQ6_K, kQ6_K, kQ6_K};
  const auto first = [](int n, Encoding some, Encoding others) {
    std::vector<Encoding> all(10, others);
    std::fill_n(all.begin(), n, some);
    return all;
  };
  const Case kCases[] = {
      {"q5_k_m", kQ5_K, kQ5_K, more5, more5},
      {"q5_k_s", kQ5_K, kQ5_K, first(0, kQ5_K, kQ5_K), first(0, kQ5_K, kQ5_K)},
      {"q4_k_m", kQ4_K, kQ4_K, more4, more4},
      {"q4_k_s", kQ4_K, kQ4_K, first(4, kQ5_K, kQ4_K), first(4, kQ5_K, kQ4_K)},
      {"q3_k_l", kQ3_K, kQ5_K, first(0, kQ5_K, kQ5_K), first(0, kQ5_K, kQ5_K)},
      {"q3_k_m", kQ3_K, kQ4_K, first(2, kQ5_K, kQ4_K), first(2, kQ5_K, kQ4_K)},
      {"q3_k_s", kQ3_K, kQ3_K, first(0, kQ3_K, kQ3_K), first(0, kQ3_K, kQ3_K)},
      {"q2_k_m", kQ2_K, kQ3_K, first(0, kQ4_K, kQ4_K), first(0, kQ3_K, kQ3_K)},
      {"q2_k_s", kQ2_K, kQ2_K, first(0, kQ4_K, kQ4_K), first(4, kQ4_K, kQ2_K)},
  };
  ASSERT_EQ(MixNames().size(), std::size(kCases));
  const HyperParameters h = Model("LlamaForCausalLM", 32, 32, 8);
  for (const Case& c : kCases) {
    for (size_t i = 0; i < std::size(kLayers); ++i) {
      const int layer = kLayers[i];
      EXPECT_EQ(Choose(c.mix, h, TensorRole::kV, layer).encoding, c.v[i]) << c.mix << " " << layer;
      EXPECT_EQ(Choose(c.mix, h, TensorRole::kDown, layer).encoding, c.down[i])
          << c.mix << " " << layer;
      EXPECT_EQ(Choose(c.mix, h, TensorRole::kO, layer).encoding, c.o) << c.mix;
      for (const TensorRole role :
           {TensorRole::kQ, TensorRole::kK, TensorRole::kGate, TensorRole::kUp}) {
        EXPECT_EQ(Choose(c.mix, h, role, layer).encoding, c.rest) << c.mix;
      }
    }
    EXPECT_EQ(Choose(c.mix, h, TensorRole::kHead, -1).encoding, kQ6_K) << c.mix;
    EXPECT_EQ(Choose(c.mix, h, TensorRole::kEmbedding, -1).encoding, c.rest) << c.mix;
    // Four heads to one of K and V make the difference for q2_k.
    const HyperParameters by3 = Model("LlamaForCausalLM", 32, 24, 8);
    const Encoding v = std::string(c.mix) == "q2_k_m"   ? kQ3_K
                       : std::string(c.mix) == "q2_k_s" ? kQ2_K
                                                        : c.v[4];
    EXPECT_EQ(Choose(c.mix, by3, TensorRole::kV, 5).encoding, v) << c.mix;
    const HyperParameters big = Model("LlamaForCausalLM", 80, 64, 8);
    EXPECT_EQ(Choose(c.mix, big, TensorRole::kV, 11).encoding, kQ5_K) << c.mix;
  }
}

TEST(Recipe, KeepsAnUntiedEmbeddingAtFourBits) {
  const HyperParameters h = Model("LlamaForCausalLM", 8, 4, 2);
  EXPECT_EQ(Choose("q4_k_m", h, TensorRole::kEmbedding, -1).encoding, Encoding::kQ4_K);
  EXPECT_EQ(Choose("q4_k_m", h, TensorRole::kHead, -1).encoding, Encoding::kQ6_K);
}

// Layer 11 of 80 is one that gets no more bits: (11 - 10) % 3 = 1.
TEST(Recipe, GivesFiveBitsToTheSmallVOf70BModels) {
  struct Case {
    const char* architecture;
    int layers, heads, kv_heads;
    Encoding v;
  };
  for (const Case& c : {Case{"LlamaForCausalLM", 80, 64, 8, Encoding::kQ5_K},
                        Case{"LlamaForCausalLM", 80, 64, 64, Encoding::kQ4_K},  // the first 65B
                        Case{"LlamaForCausalLM", 126, 128, 8, Encoding::kQ4_K},
                        Case{"MistralForCausalLM", 80, 64, 8, Encoding::kQ5_K},
                        Case{"Qwen2ForCausalLM", 80, 64, 8, Encoding::kQ5_K},
                        Case{"Qwen2ForCausalLM", 64, 40, 8, Encoding::kQ4_K},
                        Case{"Qwen3ForCausalLM", 80, 64, 8, Encoding::kQ4_K}}) {
    const HyperParameters h = Model(c.architecture, c.layers, c.heads, c.kv_heads);
    const int layer = c.layers == 126 ? 16 : c.layers == 64 ? 9 : 11;
    EXPECT_EQ(Choose("q4_k_m", h, TensorRole::kV, layer).encoding, c.v)
        << c.architecture << " " << c.layers << " " << c.kv_heads;
    EXPECT_EQ(Choose("q4_k_m", h, TensorRole::kV, 0).encoding, Encoding::kQ6_K);
    EXPECT_EQ(Choose("q4_k_m", h, TensorRole::kDown, layer).encoding, Encoding::kQ4_K);
  }
}

TEST(Recipe, FallsBackWhereRowsAreNoWholeBlocks) {
  const HyperParameters h = Model("LlamaForCausalLM", 8, 4, 2);
  struct Case {
    const char* recipe;
    int64_t k;
    Encoding dtype, expected;
    bool fallback;
  };
  for (const Case& c : {Case{"q4_k", 512, Encoding::kBF16, Encoding::kQ4_K, false},
                        Case{"q4_k", 320, Encoding::kBF16, Encoding::kQ8_0, true},
                        Case{"q6_k", 32, Encoding::kBF16, Encoding::kQ8_0, true},
                        Case{"q4_k_m", 40, Encoding::kF16, Encoding::kF16, true},
                        Case{"q4_0", 320, Encoding::kF32, Encoding::kQ4_0, false},
                        Case{"q2_k", 288, Encoding::kBF16, Encoding::kQ8_0, true},
                        Case{"q3_k", 256, Encoding::kBF16, Encoding::kQ3_K, false},
                        Case{"iq4_xs", 96, Encoding::kBF16, Encoding::kQ8_0, true},
                        Case{"iq4_nl", 96, Encoding::kBF16, Encoding::kIQ4_NL, false},
                        Case{"mxfp4", 32, Encoding::kBF16, Encoding::kMXFP4, false},
                        Case{"q5_1", 48, Encoding::kF16, Encoding::kF16, true},
                        Case{"q3_k_m", 320, Encoding::kBF16, Encoding::kQ8_0, true},
                        Case{"q8_0", 33, Encoding::kF32, Encoding::kF32, true},
                        Case{"q4_0", 16, Encoding::kBF16, Encoding::kBF16, true},
                        Case{"bf16", 33, Encoding::kF32, Encoding::kBF16, false}}) {
    const TensorEncoding chosen = Choose(c.recipe, h, TensorRole::kQ, 1, c.k, c.dtype);
    EXPECT_EQ(chosen.encoding, c.expected) << c.recipe << " " << c.k;
    EXPECT_EQ(chosen.fallback, c.fallback) << c.recipe << " " << c.k;
  }
}

}  // namespace
}  // namespace sluice
