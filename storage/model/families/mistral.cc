// Mistral 7B and its dense successors. llama.cpp runs them as "llama": what tells them from Llama
// is the sliding window.
#include "storage/model/families/parts.h"
#include "storage/model/families/registry.h"

namespace sluice {

constexpr Family kMistralFamily = {
    .architecture = "MistralForCausalLM",
    .model_type = "mistral",
    .gguf_architecture = "llama",
    .config = {.qkv_bias = kNoBias,
               .output_bias = kNoBias,
               .mlp_bias = kNoBias,
               .qk_norm = false,
               .windows = WindowRule::kEveryLayer,
               .num_key_value_heads = 8,
               .head_dim = 0,
               .max_position_embeddings = 131072,
               .bos_token_id = 1,
               .eos_token_id = 2},
    .append_layer = AppendLlamaLayer,
    .is_70b = Has80GroupedLayers,
};

}  // namespace sluice
