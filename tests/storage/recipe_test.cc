// Tests of recipes against what llama.cpp's quantizer chose for a real model.
#include "storage/recipe.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

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
  EXPECT_EQ(ParseRecipe("q4_k_m")->name, "q4_k_m");
  for (const char* bad : {"", "Q4_K_M", "q4_k_s", "int3"}) {
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
