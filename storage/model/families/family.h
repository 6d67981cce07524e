// What a family of models is: how its config.json is read, which tensors its layers have and how
// checkpoints name them. A family is one file here and one line in registry.h; the computation
// follows from the parts of its layers (storage/model/spec.h).
#ifndef SLUICE_STORAGE_MODEL_FAMILIES_FAMILY_H_
#define SLUICE_STORAGE_MODEL_FAMILIES_FAMILY_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/model/architecture.h"
#include "storage/model/hyper_parameters.h"
#include "storage/model/spec.h"

namespace sluice {

// Whether projections have a bias: what config.json says under `key`, or `otherwise` where it says
// nothing. Without a key the answer is always `otherwise`.
struct BiasRule {
  absl::string_view key;
  bool otherwise;
};

// How sliding windows are configured.
enum class WindowRule : uint8_t {
  kNone,         // `sliding_window` means nothing to this family
  kEveryLayer,   // `sliding_window` holds for all layers, null switches it off
  kByLayerType,  // `use_sliding_window`, then `layer_types`, else layers from `max_window_layers`
                 // on
};

// What config.json's keys mean to a family, with the defaults of transformers' configuration class
// for those that may be left out.
struct ConfigRules {
  BiasRule qkv_bias;
  BiasRule output_bias;
  BiasRule mlp_bias;
  bool qk_norm;
  WindowRule windows;
  int64_t num_key_value_heads;  // 0: as many as num_attention_heads
  int64_t head_dim;             // 0: hidden_size over num_attention_heads
  int64_t max_position_embeddings;
  std::optional<int64_t> bos_token_id;
  std::optional<int64_t> eos_token_id;
};

// What checkpoints call the tensors of heads that predict the token behind the next one (MTP). Such
// a head has one layer of the family, and the model's embedding and output matrix.
struct MtpNames {
  absl::string_view prefix;  // of head i all names begin with this, i and a dot
  absl::string_view token_norm;
  absl::string_view hidden_norm;
  absl::string_view merge;  // [hidden_size, 2 * hidden_size]: reads the hidden row, then the token
  absl::string_view final_norm;
};

struct Family {
  absl::string_view architecture;       // "LlamaForCausalLM"
  absl::string_view model_type;         // "llama"
  absl::string_view gguf_architecture;  // general.architecture of GGUF files
  ConfigRules config;

  // Appends the tensors of a layer in the order in which a manifest lists them. Their names lack
  // what all tensors of the layer begin with, and `layer` is not set: ListTensors adds both.
  void (*append_layer)(const ModelSpec& model, const LayerSpec& layer,
                       std::vector<TensorSpec>* tensors);

  // Whether llama.cpp calls the model LLM_TYPE_70B, which gives attention V more bits (recipes).
  // Null: it calls no model of this family so.
  bool (*is_70b)(const HyperParameters& hyper_parameters) = nullptr;

  // Null: its checkpoints have no such heads.
  const MtpNames* mtp = nullptr;
};

absl::Span<const Family* const> Families();

// The family of an architecture of config.json, or null.
const Family* FindFamily(absl::string_view architecture);

// The family of a model. ParseHyperParameters accepts no model without one.
const Family& FamilyOf(const HyperParameters& hyper_parameters);

}  // namespace sluice

#endif  // SLUICE_STORAGE_MODEL_FAMILIES_FAMILY_H_
