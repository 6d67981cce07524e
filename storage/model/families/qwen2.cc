// Qwen 2 and 2.5, dense.
#include "storage/model/families/parts.h"
#include "storage/model/families/registry.h"

namespace sluice {

constexpr Family kQwen2Family = {
    .architecture = "Qwen2ForCausalLM",
    .model_type = "qwen2",
    .gguf_architecture = "qwen2",
    .config = {.qkv_bias = kAlwaysBias,
               .output_bias = kNoBias,
               .mlp_bias = kNoBias,
               .qk_norm = false,
               .windows = WindowRule::kByLayerType,
               .num_key_value_heads = 32,
               .head_dim = 0,
               .max_position_embeddings = 32768,
               .bos_token_id = std::nullopt,
               .eos_token_id = std::nullopt},
    .append_layer = AppendPlainLayer,
    .is_70b = [](const HyperParameters& h) { return h.num_hidden_layers == 80; },
};

}  // namespace sluice
