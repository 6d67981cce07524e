// A model's hyper-parameters, read from config.json (or from a store's manifest, which keeps them
// in the same form).
#ifndef SLUICE_STORAGE_MODEL_HYPER_PARAMETERS_H_
#define SLUICE_STORAGE_MODEL_HYPER_PARAMETERS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace sluice {

enum class RopeType : uint8_t { kDefault, kLinear, kLlama3, kYarn };

// Rotary embedding and its long-context scaling, as transformers' modeling_rope_utils defines it.
struct RopeParameters {
  RopeType type = RopeType::kDefault;
  double theta = 10000.0;
  double factor = 1.0;                           // linear, llama3, yarn
  double low_freq_factor = 1.0;                  // llama3
  double high_freq_factor = 4.0;                 // llama3
  int64_t original_max_position_embeddings = 0;  // llama3, yarn
  double beta_fast = 32.0;                       // yarn
  double beta_slow = 1.0;                        // yarn
  bool truncate = true;                          // yarn: correction range rounded to whole dims
  std::optional<double> attention_factor;        // yarn
  double mscale = 0.0;                           // yarn; 0: not given
  double mscale_all_dim = 0.0;                   // yarn; 0: not given
  bool operator==(const RopeParameters&) const = default;
};

// Names are those of config.json. Every size is positive and consistent:
// num_attention_heads is a multiple of num_key_value_heads, head_dim is even. Sizes are bounded so
// that products of a tensor's dimensions and element size fit int64 with room to spare.
struct HyperParameters {
  std::string architecture;  // "LlamaForCausalLM": a family of the registry
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  RopeParameters rope;
  std::vector<int64_t> layer_windows;  // [num_hidden_layers]: sliding window in tokens, 0 for none
  bool tie_word_embeddings = false;
  bool qkv_bias = false;
  bool output_bias = false;  // of the attention's output projection
  bool mlp_bias = false;
  bool qk_norm = false;  // RMS norm over each q and k head
  // Heads of the checkpoint that predict tokens behind the next one (MTP).
  int64_t num_mtp_heads = 0;
  // This is not the model, but the first of these heads: one layer, behind a product that merges
  // the model's hidden row of a token with the embedding of the token behind it.
  bool is_mtp_head = false;
  std::optional<int64_t> bos_token_id;
  std::vector<int64_t> eos_token_ids;
};

// Reads the older and newer spellings of config.json (`rope_scaling` with `type` or `rope_type`,
// `rope_parameters`; missing num_key_value_heads and head_dim). `what` names the file in errors.
// Unimplemented names an architecture, activation or rope type that sluice does not run;
// InvalidArgument a missing, mistyped or inconsistent value.
// FailedPrecondition: the checkpoint is quantized (`quantization_config`), with what to do.
absl::StatusOr<HyperParameters> ParseHyperParameters(const nlohmann::json& config,
                                                     absl::string_view what);

// The first head of a model that has such heads, as a model of its own.
HyperParameters MtpHeadOf(const HyperParameters& model);

// The ids under "eos_token_id" of config.json or generation_config.json: an integer, a list, or
// none; -1 stands for none, repeated ids count once. InvalidArgument: anything else.
absl::StatusOr<std::vector<int64_t>> ParseEosTokenIds(const nlohmann::json& object);

// The manifest's form: a config.json that ParseHyperParameters reads back to the same values.
nlohmann::json HyperParametersToJson(const HyperParameters& hyper_parameters);

// Inverse frequencies of the rotary embedding of a head, [head_dim / 2], with the scaling applied.
std::vector<double> RopeInverseFrequencies(const RopeParameters& rope, int64_t head_dim);

// What cosines and sines are multiplied by: 1 but for yarn.
double RopeAttentionScaling(const RopeParameters& rope);

}  // namespace sluice

#endif  // SLUICE_STORAGE_MODEL_HYPER_PARAMETERS_H_
