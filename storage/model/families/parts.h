// Tensors of the parts that families share, under the names that most families give them.
#ifndef SLUICE_STORAGE_MODEL_FAMILIES_PARTS_H_
#define SLUICE_STORAGE_MODEL_FAMILIES_PARTS_H_

#include <vector>

#include "absl/strings/string_view.h"
#include "storage/model/architecture.h"
#include "storage/model/families/family.h"
#include "storage/model/spec.h"

namespace sluice {

// A bias that no model of the family has, and one that all have.
inline constexpr BiasRule kNoBias = {"", false};
inline constexpr BiasRule kAlwaysBias = {"", true};

// Norm, matrices, biases and head norms of attention. `q_and_k`: how GGUF files store their rows.
void AppendAttention(const ModelSpec& model, const AttentionSpec& attention, GgufRows q_and_k,
                     std::vector<TensorSpec>* tensors);

// Norm, matrices and biases of a gated MLP. `gguf_norm`: the norm's name in GGUF files.
void AppendGatedMlp(const ModelSpec& model, const GatedMlpSpec& mlp, absl::string_view gguf_norm,
                    std::vector<TensorSpec>* tensors);

// Layers of attention and a gated MLP, for Family::append_layer. llama.cpp turns neighbouring
// values of a head in what it calls "llama", so files for it have rows of q and k in that order;
// elsewhere it turns halves, as transformers does.
void AppendLlamaLayer(const ModelSpec& model, const LayerSpec& layer,
                      std::vector<TensorSpec>* tensors);
void AppendPlainLayer(const ModelSpec& model, const LayerSpec& layer,
                      std::vector<TensorSpec>* tensors);

// How config.json is read of Qwen 2, and of models that are made of its layers.
inline constexpr ConfigRules kQwen2Config = {.qkv_bias = kAlwaysBias,
                                             .output_bias = kNoBias,
                                             .mlp_bias = kNoBias,
                                             .qk_norm = false,
                                             .windows = WindowRule::kByLayerType,
                                             .num_key_value_heads = 32,
                                             .head_dim = 0,
                                             .max_position_embeddings = 32768,
                                             .bos_token_id = std::nullopt,
                                             .eos_token_id = std::nullopt};

// For Family::is_70b: 80 layers in which query heads share heads of keys and values.
bool Has80GroupedLayers(const HyperParameters& hyper_parameters);

}  // namespace sluice

#endif  // SLUICE_STORAGE_MODEL_FAMILIES_PARTS_H_
