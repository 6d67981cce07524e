// The rules behind the recipes' names.
#include "storage/model/recipe.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "storage/model/families/family.h"

namespace sluice {
namespace {

// llama.cpp's use_more_bits: the first and last eighth of the layers, and every third between them.
bool UsesMoreBits(const HyperParameters& h, int64_t layer) {
  const int64_t num_layers = h.num_hidden_layers;
  const int64_t eighth = num_layers / 8;
  return layer < eighth || layer >= 7 * num_layers / 8 || (layer - eighth) % 3 == 2;
}

// What llama.cpp calls LLM_TYPE_70B: there V is so much smaller than Q that more bits cost nothing.
bool Is70B(const HyperParameters& h) {
  const Family& family = FamilyOf(h);
  return family.is_70b != nullptr && family.is_70b(h);
}

bool Always(const HyperParameters&, int64_t) { return true; }
bool InFirstEighth(const HyperParameters& h, int64_t layer) {
  return layer < h.num_hidden_layers / 8;
}
bool InFirstSixteenth(const HyperParameters& h, int64_t layer) {
  return layer < h.num_hidden_layers / 16;
}
bool InFirst2(const HyperParameters&, int64_t layer) { return layer < 2; }
bool InFirst4(const HyperParameters&, int64_t layer) { return layer < 4; }
bool SharesKvByFour(const HyperParameters& h, int64_t) {
  return h.num_key_value_heads > 0 && h.num_attention_heads / h.num_key_value_heads >= 4;
}

struct Rule {
  bool (*applies)(const HyperParameters& h, int64_t layer);
  Encoding then, otherwise;
  Encoding Choose(const HyperParameters& h, int64_t layer) const {
    return applies(h, layer) ? then : otherwise;
  }
};
constexpr Rule All(Encoding encoding) { return {Always, encoding, encoding}; }

// The cases of llama.cpp's llama_tensor_get_type, one row for each file type: what attention V, O
// and FFN down get, and all the rest. The head, and with it a tied embedding, gets q6_k.
struct Mix {
  absl::string_view name;
  Encoding rest;
  Rule v, o, down;
};
using enum Encoding;
constexpr Mix kMixes[] = {
    {"q5_k_m", kQ5_K, {UsesMoreBits, kQ6_K, kQ5_K}, All(kQ5_K), {UsesMoreBits, kQ6_K, kQ5_K}},
    {"q5_k_s", kQ5_K, All(kQ5_K), All(kQ5_K), All(kQ5_K)},
    {"q4_k_m", kQ4_K, {UsesMoreBits, kQ6_K, kQ4_K}, All(kQ4_K), {UsesMoreBits, kQ6_K, kQ4_K}},
    {"q4_k_s", kQ4_K, {InFirst4, kQ5_K, kQ4_K}, All(kQ4_K), {InFirstEighth, kQ5_K, kQ4_K}},
    {"q3_k_l", kQ3_K, All(kQ5_K), All(kQ5_K), All(kQ5_K)},
    {"q3_k_m", kQ3_K, {InFirst2, kQ5_K, kQ4_K}, All(kQ4_K), {InFirstSixteenth, kQ5_K, kQ4_K}},
    {"q3_k_s", kQ3_K, All(kQ3_K), All(kQ3_K), All(kQ3_K)},
    {"q2_k_m", kQ2_K, {SharesKvByFour, kQ4_K, kQ3_K}, All(kQ3_K), All(kQ3_K)},
    {"q2_k_s", kQ2_K, {SharesKvByFour, kQ4_K, kQ2_K}, All(kQ2_K), {InFirstEighth, kQ4_K, kQ2_K}},
};

const Mix* FindMix(absl::string_view name) {
  for (const Mix& mix : kMixes) {
    if (mix.name == name) return &mix;
  }
  return nullptr;
}

Encoding ChooseFromMix(const Mix& mix, const HyperParameters& h, const TensorSpec& tensor) {
  switch (tensor.role) {
    case TensorRole::kHead:
      return kQ6_K;
    case TensorRole::kEmbedding:
      return h.tie_word_embeddings ? kQ6_K : mix.rest;
    case TensorRole::kV: {
      const Encoding chosen = mix.v.Choose(h, tensor.layer);
      return Is70B(h) && (chosen == kQ3_K || chosen == kQ4_K) ? kQ5_K : chosen;
    }
    case TensorRole::kO:
      return mix.o.Choose(h, tensor.layer);
    case TensorRole::kDown:
      return mix.down.Choose(h, tensor.layer);
    default:
      return mix.rest;
  }
}

}  // namespace

std::vector<std::string> MixNames() {
  std::vector<std::string> names;
  for (const Mix& mix : kMixes) names.emplace_back(mix.name);
  return names;
}

absl::StatusOr<Recipe> ParseRecipe(absl::string_view name) {
  if (FindMix(name) != nullptr || ParseEncoding(name).ok()) return Recipe{std::string(name)};
  std::string known;
  for (const EncodingInfo& info : Encodings()) absl::StrAppend(&known, info.name, " ");
  return absl::InvalidArgumentError(absl::StrCat("unknown recipe \"", name, "\"; known are ", known,
                                                 "and the mixes ", absl::StrJoin(MixNames(), " ")));
}

TensorEncoding ChooseEncoding(const Recipe& recipe, const HyperParameters& hyper_parameters,
                              const TensorSpec& tensor, Encoding checkpoint_dtype) {
  const Mix* mix = FindMix(recipe.name);
  const Encoding wanted = mix != nullptr ? ChooseFromMix(*mix, hyper_parameters, tensor)
                                         : ParseEncoding(recipe.name).value();
  const int64_t k = tensor.shape.back();
  if (k % Info(wanted).block_values == 0) return {wanted, false};
  // llama.cpp falls back from q4_k to q5_0 and such; one fallback for all loses the least.
  if (k % Info(kQ8_0).block_values == 0) return {kQ8_0, true};
  return {checkpoint_dtype, true};
}

}  // namespace sluice
