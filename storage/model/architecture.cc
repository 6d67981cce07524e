// The tensors of the Llama family: one row for each, with its name, its shape and when it is there.
#include "storage/model/architecture.h"

#include <array>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

// Lengths that shapes are made of.
enum class Dim : uint8_t {
  kNone,  // a vector has no second dimension
  kVocab,
  kHidden,
  kIntermediate,
  kQueries,    // num_attention_heads * head_dim
  kKeyValues,  // num_key_value_heads * head_dim
  kHeadDim,
};

struct Row {
  TensorRole role;
  absl::string_view role_name;
  absl::string_view tensor_name;  // of a layer's tensors: what follows "model.layers.N."
  bool in_layer;
  TensorPlace place;
  Dim rows;
  Dim cols;
  bool HyperParameters::*present;  // null: every model has it
};

constexpr TensorPlace kRows = TensorPlace::kRows;
constexpr TensorPlace kSlabs = TensorPlace::kSlabs;
constexpr TensorPlace kResident = TensorPlace::kResident;

// In the order of the enum, which is the order in which ListTensors walks a layer.
constexpr std::array<Row, 21> kRoles = {{
    {TensorRole::kEmbedding, "embedding", "model.embed_tokens.weight", false, kRows, Dim::kVocab,
     Dim::kHidden, nullptr},
    {TensorRole::kAttentionNorm, "attention_norm", "input_layernorm.weight", true, kResident,
     Dim::kHidden, Dim::kNone, nullptr},
    {TensorRole::kQ, "q", "self_attn.q_proj.weight", true, kSlabs, Dim::kQueries, Dim::kHidden,
     nullptr},
    {TensorRole::kK, "k", "self_attn.k_proj.weight", true, kSlabs, Dim::kKeyValues, Dim::kHidden,
     nullptr},
    {TensorRole::kV, "v", "self_attn.v_proj.weight", true, kSlabs, Dim::kKeyValues, Dim::kHidden,
     nullptr},
    {TensorRole::kO, "o", "self_attn.o_proj.weight", true, kSlabs, Dim::kHidden, Dim::kQueries,
     nullptr},
    {TensorRole::kQBias, "q_bias", "self_attn.q_proj.bias", true, kResident, Dim::kQueries,
     Dim::kNone, &HyperParameters::qkv_bias},
    {TensorRole::kKBias, "k_bias", "self_attn.k_proj.bias", true, kResident, Dim::kKeyValues,
     Dim::kNone, &HyperParameters::qkv_bias},
    {TensorRole::kVBias, "v_bias", "self_attn.v_proj.bias", true, kResident, Dim::kKeyValues,
     Dim::kNone, &HyperParameters::qkv_bias},
    {TensorRole::kOBias, "o_bias", "self_attn.o_proj.bias", true, kResident, Dim::kHidden,
     Dim::kNone, &HyperParameters::output_bias},
    {TensorRole::kQNorm, "q_norm", "self_attn.q_norm.weight", true, kResident, Dim::kHeadDim,
     Dim::kNone, &HyperParameters::qk_norm},
    {TensorRole::kKNorm, "k_norm", "self_attn.k_norm.weight", true, kResident, Dim::kHeadDim,
     Dim::kNone, &HyperParameters::qk_norm},
    {TensorRole::kMlpNorm, "mlp_norm", "post_attention_layernorm.weight", true, kResident,
     Dim::kHidden, Dim::kNone, nullptr},
    {TensorRole::kGate, "gate", "mlp.gate_proj.weight", true, kSlabs, Dim::kIntermediate,
     Dim::kHidden, nullptr},
    {TensorRole::kUp, "up", "mlp.up_proj.weight", true, kSlabs, Dim::kIntermediate, Dim::kHidden,
     nullptr},
    {TensorRole::kDown, "down", "mlp.down_proj.weight", true, kSlabs, Dim::kHidden,
     Dim::kIntermediate, nullptr},
    {TensorRole::kGateBias, "gate_bias", "mlp.gate_proj.bias", true, kResident, Dim::kIntermediate,
     Dim::kNone, &HyperParameters::mlp_bias},
    {TensorRole::kUpBias, "up_bias", "mlp.up_proj.bias", true, kResident, Dim::kIntermediate,
     Dim::kNone, &HyperParameters::mlp_bias},
    {TensorRole::kDownBias, "down_bias", "mlp.down_proj.bias", true, kResident, Dim::kHidden,
     Dim::kNone, &HyperParameters::mlp_bias},
    {TensorRole::kFinalNorm, "final_norm", "model.norm.weight", false, kResident, Dim::kHidden,
     Dim::kNone, nullptr},
    {TensorRole::kHead, "head", "lm_head.weight", false, kSlabs, Dim::kVocab, Dim::kHidden,
     nullptr},
}};

constexpr bool RolesAreInOrder() {
  for (size_t i = 0; i < kRoles.size(); ++i) {
    if (static_cast<size_t>(kRoles[i].role) != i) return false;
  }
  return static_cast<size_t>(TensorRole::kHead) + 1 == kRoles.size();
}
static_assert(RolesAreInOrder());

const Row& RowOf(TensorRole role) { return kRoles[static_cast<size_t>(role)]; }

int64_t Length(const HyperParameters& h, Dim dim) {
  switch (dim) {
    case Dim::kNone:
      return 0;
    case Dim::kVocab:
      return h.vocab_size;
    case Dim::kHidden:
      return h.hidden_size;
    case Dim::kIntermediate:
      return h.intermediate_size;
    case Dim::kQueries:
      return h.num_attention_heads * h.head_dim;
    case Dim::kKeyValues:
      return h.num_key_value_heads * h.head_dim;
    case Dim::kHeadDim:
      return h.head_dim;
  }
  return 0;
}

TensorSpec Spec(const HyperParameters& h, const Row& row, int layer) {
  TensorSpec spec;
  spec.role = row.role;
  spec.layer = layer;
  spec.name = layer < 0 ? std::string(row.tensor_name)
                        : absl::StrCat("model.layers.", layer, ".", row.tensor_name);
  spec.shape.push_back(Length(h, row.rows));
  if (row.cols != Dim::kNone) spec.shape.push_back(Length(h, row.cols));
  return spec;
}

}  // namespace

absl::string_view RoleName(TensorRole role) { return RowOf(role).role_name; }

absl::StatusOr<TensorRole> ParseRole(absl::string_view name) {
  for (const Row& row : kRoles) {
    if (row.role_name == name) return row.role;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown tensor role \"", name.substr(0, 40), "\", expected one of ",
                   absl::StrJoin(kRoles, " ", [](std::string* out, const Row& row) {
                     absl::StrAppend(out, row.role_name);
                   })));
}

TensorPlace PlaceOf(TensorRole role) { return RowOf(role).place; }

std::vector<TensorSpec> ListTensors(const HyperParameters& h) {
  std::vector<TensorSpec> specs = {Spec(h, RowOf(TensorRole::kEmbedding), -1)};
  for (int layer = 0; layer < h.num_hidden_layers; ++layer) {
    for (const Row& row : kRoles) {
      if (!row.in_layer || (row.present != nullptr && !(h.*row.present))) continue;
      specs.push_back(Spec(h, row, layer));
    }
  }
  specs.push_back(Spec(h, RowOf(TensorRole::kFinalNorm), -1));
  specs.push_back(Spec(h, RowOf(TensorRole::kHead), -1));
  if (h.tie_word_embeddings) specs.back().name = specs.front().name;
  return specs;
}

bool IsIgnorableTensor(const HyperParameters& h, absl::string_view name) {
  if (name == RowOf(TensorRole::kHead).tensor_name) return h.tie_word_embeddings;
  // Older transformers saved this buffer; it follows from the configuration.
  if (name == "model.rotary_emb.inv_freq") return true;
  if (!absl::ConsumePrefix(&name, "model.layers.") ||
      !absl::ConsumeSuffix(&name, ".self_attn.rotary_emb.inv_freq") || name.empty()) {
    return false;
  }
  for (const char c : name) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

}  // namespace sluice
