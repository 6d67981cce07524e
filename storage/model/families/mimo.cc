// MiMo-7B of Xiaomi: Qwen 2 with a head that drafts. vLLM's mimo_mtp.py is the reference for that
// head.
#include "storage/model/families/parts.h"
#include "storage/model/families/registry.h"

namespace sluice {
namespace {

constexpr MtpNames kMimoMtp = {.prefix = "model.mtp_layers.",
                               .token_norm = "token_layernorm.weight",
                               .hidden_norm = "hidden_layernorm.weight",
                               .merge = "input_proj.weight",
                               .final_norm = "final_layernorm.weight"};

}  // namespace

constexpr Family kMimoFamily = {
    .architecture = "MiMoForCausalLM",
    .model_type = "mimo",
    .gguf_architecture = "mimo",
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
    .mtp = &kMimoMtp,
};

}  // namespace sluice
