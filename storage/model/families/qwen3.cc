// Qwen 3, dense.
#include "storage/model/families/parts.h"
#include "storage/model/families/registry.h"

namespace sluice {

constexpr Family kQwen3Family = {
    .architecture = "Qwen3ForCausalLM",
    .model_type = "qwen3",
    .gguf_architecture = "qwen3",
    .config = {.qkv_bias = {"attention_bias", false},
               .output_bias = {"attention_bias", false},
               .mlp_bias = kNoBias,
               .qk_norm = true,
               .windows = WindowRule::kByLayerType,
               .num_key_value_heads = 32,
               .head_dim = 128,
               .max_position_embeddings = 32768,
               .bos_token_id = std::nullopt,
               .eos_token_id = std::nullopt},
    .append_layer = AppendPlainLayer,
};

}  // namespace sluice
