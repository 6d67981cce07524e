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
    .config = kQwen2Config,
    .append_layer = AppendPlainLayer,
    .mtp = &kMimoMtp,
};

}  // namespace sluice
