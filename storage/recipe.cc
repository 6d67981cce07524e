// The rules behind the recipes' names.
#include "storage/recipe.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr char kQ4KM[] = "q4_k_m";

// llama.cpp's use_more_bits: the first and last eighth of the layers, and every third between them.
bool UsesMoreBits(int64_t layer, int64_t num_layers) {
  const int64_t eighth = num_layers / 8;
  return layer < eighth || layer >= 7 * num_layers / 8 || (layer - eighth) % 3 == 2;
}

// What llama.cpp calls LLM_TYPE_70B: there V is so much smaller than Q that more bits cost nothing.
// llama.cpp runs Mistral as "llama", which needs grouped heads for the name; its qwen2 does not.
bool Is70B(const HyperParameters& h) {
  if (h.num_hidden_layers != 80) return false;
  if (h.architecture == "Qwen2ForCausalLM") return true;
  return (h.architecture == "LlamaForCausalLM" || h.architecture == "MistralForCausalLM") &&
         h.num_attention_heads != h.num_key_value_heads;
}

Encoding Q4KMEncoding(const HyperParameters& h, const TensorSpec& tensor) {
  switch (tensor.role) {
    case TensorRole::kHead:
      return Encoding::kQ6_K;
    case TensorRole::kEmbedding:
      return h.tie_word_embeddings ? Encoding::kQ6_K : Encoding::kQ4_K;
    case TensorRole::kV:
      if (UsesMoreBits(tensor.layer, h.num_hidden_layers)) return Encoding::kQ6_K;
      return Is70B(h) ? Encoding::kQ5_K : Encoding::kQ4_K;
    case TensorRole::kDown:
      return UsesMoreBits(tensor.layer, h.num_hidden_layers) ? Encoding::kQ6_K : Encoding::kQ4_K;
    default:
      return Encoding::kQ4_K;
  }
}

}  // namespace

absl::StatusOr<Recipe> ParseRecipe(absl::string_view name) {
  if (name == kQ4KM || ParseEncoding(name).ok()) return Recipe{std::string(name)};
  std::string known;
  for (const EncodingInfo& info : Encodings()) absl::StrAppend(&known, info.name, " ");
  return absl::InvalidArgumentError(
      absl::StrCat("unknown recipe \"", name, "\"; known are ", known, "and ", kQ4KM));
}

TensorEncoding ChooseEncoding(const Recipe& recipe, const HyperParameters& hyper_parameters,
                              const TensorSpec& tensor, Encoding checkpoint_dtype) {
  const Encoding wanted = recipe.name == kQ4KM ? Q4KMEncoding(hyper_parameters, tensor)
                                               : ParseEncoding(recipe.name).value();
  const int64_t k = tensor.shape.back();
  if (k % Info(wanted).block_values == 0) return {wanted, false};
  // llama.cpp falls back from q4_k to q5_0 and such; one fallback for all loses the least and needs
  // no further encodings.
  if (k % Info(Encoding::kQ8_0).block_values == 0) return {Encoding::kQ8_0, true};
  return {checkpoint_dtype, true};
}

}  // namespace sluice
