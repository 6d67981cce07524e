// A model as data: its sizes, and of each layer the parts that it is made of. Layers may differ.
// A kind of mixer or feed-forward that is new is a new alternative here, not a flag of another.
#ifndef SLUICE_STORAGE_MODEL_SPEC_H_
#define SLUICE_STORAGE_MODEL_SPEC_H_

#include <cstdint>
#include <variant>
#include <vector>

#include "storage/model/hyper_parameters.h"

namespace sluice {

// Causal attention of `num_heads` query heads, which share `num_kv_heads` heads of keys and values
// in groups. Queries and keys are turned by a rotary embedding over the whole head.
struct AttentionSpec {
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
  int64_t window;  // in tokens; 0: a row sees all before it
  bool qkv_bias;
  bool output_bias;
  bool qk_norm;  // RMS norm over each head of queries and keys, before they are turned
  RopeParameters rope;

  int64_t q_dim() const { return num_heads * head_dim; }
  int64_t kv_dim() const { return num_kv_heads * head_dim; }
};

// down(silu(gate(x)) * up(x)), with a bias of each matrix or of none.
struct GatedMlpSpec {
  int64_t intermediate_size;
  bool bias;
};

using Mixer = std::variant<AttentionSpec>;
using FeedForward = std::variant<GatedMlpSpec>;

// x += mixer(norm(x)), then x += feed_forward(norm(x)): the norms are RMS norms of hidden_size.
struct LayerSpec {
  Mixer mixer;
  FeedForward feed_forward;
};

struct ModelSpec {
  int64_t hidden_size = 0;
  int64_t vocab_size = 0;
  bool tie_word_embeddings = false;
  // Each row begins with merge(hidden_norm(hidden row), token_norm(embedding)): the hidden row of
  // another model, which the caller gives. Else with the embedding alone.
  bool merges_hidden = false;
  std::vector<LayerSpec> layers;

  int64_t MemoryBytes() const;  // beyond the object itself
};

// The only place that knows which settings make which parts. Windows that are not given are none.
ModelSpec SpecOf(const HyperParameters& hyper_parameters);

}  // namespace sluice

#endif  // SLUICE_STORAGE_MODEL_SPEC_H_
