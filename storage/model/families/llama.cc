// Llama 2 and 3, and the many models that call themselves so.
#include "storage/model/families/parts.h"
#include "storage/model/families/registry.h"

namespace sluice {

constexpr Family kLlamaFamily = {
    .architecture = "LlamaForCausalLM",
    .model_type = "llama",
    .gguf_architecture = "llama",
    .config = {.qkv_bias = {"attention_bias", false},
               .output_bias = {"attention_bias", false},
               .mlp_bias = {"mlp_bias", false},
               .qk_norm = false,
               .windows = WindowRule::kNone,
               .num_key_value_heads = 0,
               .head_dim = 0,
               .max_position_embeddings = 2048,
               .bos_token_id = 1,
               .eos_token_id = 2},
    .append_layer = AppendLlamaLayer,
    .is_70b = Has80GroupedLayers,
};

}  // namespace sluice
