// Tests of what settings make of a model's layers.
#include "storage/model/spec.h"

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(ModelSpec, HasThePartsThatTheSettingsAskForInEachLayer) {
  HyperParameters h;
  h.architecture = "Qwen3ForCausalLM";
  h.hidden_size = 12;
  h.intermediate_size = 20;
  h.num_hidden_layers = 3;
  h.num_attention_heads = 6;
  h.num_key_value_heads = 2;
  h.head_dim = 4;
  h.vocab_size = 50;
  h.rope.theta = 5000;
  h.layer_windows = {0, 16, 0};
  h.qk_norm = h.output_bias = h.tie_word_embeddings = true;
  const ModelSpec spec = SpecOf(h);
  EXPECT_EQ(spec.hidden_size, 12);
  EXPECT_EQ(spec.vocab_size, 50);
  EXPECT_TRUE(spec.tie_word_embeddings);
  ASSERT_EQ(spec.layers.size(), 3);
  for (size_t i = 0; i < spec.layers.size(); ++i) {
    const auto& attention = std::get<AttentionSpec>(spec.layers[i].mixer);
    EXPECT_EQ(attention.q_dim(), 24);
    EXPECT_EQ(attention.kv_dim(), 8);
    EXPECT_EQ(attention.head_dim, 4);
    EXPECT_EQ(attention.window, i == 1 ? 16 : 0);
    EXPECT_FALSE(attention.qkv_bias);
    EXPECT_TRUE(attention.output_bias);
    EXPECT_TRUE(attention.qk_norm);
    EXPECT_EQ(attention.rope.theta, 5000);
    const auto& mlp = std::get<GatedMlpSpec>(spec.layers[i].feed_forward);
    EXPECT_EQ(mlp.intermediate_size, 20);
    EXPECT_FALSE(mlp.bias);
  }
}

TEST(ModelSpec, HasNoWindowsWhereNoneAreGiven) {
  HyperParameters h;
  h.num_hidden_layers = 2;
  for (const LayerSpec& layer : SpecOf(h).layers) {
    EXPECT_EQ(std::get<AttentionSpec>(layer.mixer).window, 0);
  }
}

}  // namespace
}  // namespace sluice
