// Seed-OSS of ByteDance: queries, keys and values have biases, the output has one of its own key.
#include "storage/model/families/parts.h"
#include "storage/model/families/registry.h"

namespace sluice {
namespace {

// llama.cpp names the norm in front of the MLP by what it stands behind.
void AppendSeedOssLayer(const ModelSpec& model, const LayerSpec& layer,
                        std::vector<TensorSpec>* tensors) {
  AppendAttention(model, std::get<AttentionSpec>(layer.mixer), GgufRows::kInOrder, tensors);
  AppendGatedMlp(model, std::get<GatedMlpSpec>(layer.feed_forward), "post_attention_norm.weight",
                 tensors);
}

}  // namespace

constexpr Family kSeedOssFamily = {
    .architecture = "SeedOssForCausalLM",
    .model_type = "seed_oss",
    .gguf_architecture = "seed_oss",
    .config = {.qkv_bias = {"attention_bias", true},
               .output_bias = {"attention_out_bias", false},
               .mlp_bias = {"mlp_bias", false},
               .qk_norm = false,
               .windows = WindowRule::kNone,
               .num_key_value_heads = 8,
               .head_dim = 128,
               .max_position_embeddings = 524288,
               .bos_token_id = 0,
               .eos_token_id = 2},
    .append_layer = AppendSeedOssLayer,
};

}  // namespace sluice
