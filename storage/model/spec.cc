// Makes the parts of each layer from the settings of config.json.
#include "storage/model/spec.h"

namespace sluice {

int64_t ModelSpec::MemoryBytes() const {
  return static_cast<int64_t>(layers.capacity() * sizeof(LayerSpec));
}

ModelSpec SpecOf(const HyperParameters& h) {
  ModelSpec spec = {.hidden_size = h.hidden_size,
                    .vocab_size = h.vocab_size,
                    .tie_word_embeddings = h.tie_word_embeddings,
                    .merges_hidden = h.is_mtp_head};
  spec.layers.reserve(h.num_hidden_layers);
  for (size_t i = 0; i < static_cast<size_t>(h.num_hidden_layers); ++i) {
    const AttentionSpec attention = {.num_heads = h.num_attention_heads,
                                     .num_kv_heads = h.num_key_value_heads,
                                     .head_dim = h.head_dim,
                                     .window = i < h.layer_windows.size() ? h.layer_windows[i] : 0,
                                     .qkv_bias = h.qkv_bias,
                                     .output_bias = h.output_bias,
                                     .qk_norm = h.qk_norm,
                                     .rope = h.rope};
    const GatedMlpSpec mlp = {.intermediate_size = h.intermediate_size, .bias = h.mlp_bias};
    spec.layers.push_back({attention, mlp});
  }
  return spec;
}

}  // namespace sluice
