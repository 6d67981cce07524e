// What tensors are for, and the list of all that a model has.
#include "storage/model/architecture.h"

#include <array>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "storage/model/families/family.h"
#include "storage/model/spec.h"

namespace sluice {
namespace {

struct Slot {
  TensorRole role;
  absl::string_view name;
  TensorPlace place;
};

constexpr TensorPlace kRows = TensorPlace::kRows;
constexpr TensorPlace kSlabs = TensorPlace::kSlabs;
constexpr TensorPlace kResident = TensorPlace::kResident;

// In the order of the enum.
constexpr std::array<Slot, 21> kSlots = {{
    {TensorRole::kEmbedding, "embedding", kRows},
    {TensorRole::kAttentionNorm, "attention_norm", kResident},
    {TensorRole::kQ, "q", kSlabs},
    {TensorRole::kK, "k", kSlabs},
    {TensorRole::kV, "v", kSlabs},
    {TensorRole::kO, "o", kSlabs},
    {TensorRole::kQBias, "q_bias", kResident},
    {TensorRole::kKBias, "k_bias", kResident},
    {TensorRole::kVBias, "v_bias", kResident},
    {TensorRole::kOBias, "o_bias", kResident},
    {TensorRole::kQNorm, "q_norm", kResident},
    {TensorRole::kKNorm, "k_norm", kResident},
    {TensorRole::kMlpNorm, "mlp_norm", kResident},
    {TensorRole::kGate, "gate", kSlabs},
    {TensorRole::kUp, "up", kSlabs},
    {TensorRole::kDown, "down", kSlabs},
    {TensorRole::kGateBias, "gate_bias", kResident},
    {TensorRole::kUpBias, "up_bias", kResident},
    {TensorRole::kDownBias, "down_bias", kResident},
    {TensorRole::kFinalNorm, "final_norm", kResident},
    {TensorRole::kHead, "head", kSlabs},
}};

constexpr bool SlotsAreInOrder() {
  for (size_t i = 0; i < kSlots.size(); ++i) {
    if (static_cast<size_t>(kSlots[i].role) != i) return false;
  }
  return static_cast<size_t>(TensorRole::kHead) + 1 == kSlots.size();
}
static_assert(SlotsAreInOrder());

const Slot& SlotOf(TensorRole role) { return kSlots[static_cast<size_t>(role)]; }

}  // namespace

absl::string_view RoleName(TensorRole role) { return SlotOf(role).name; }

absl::StatusOr<TensorRole> ParseRole(absl::string_view name) {
  for (const Slot& slot : kSlots) {
    if (slot.name == name) return slot.role;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown tensor role \"", name.substr(0, 40), "\", expected one of ",
      absl::StrJoin(kSlots, " ",
                    [](std::string* out, const Slot& slot) { absl::StrAppend(out, slot.name); })));
}

TensorPlace PlaceOf(TensorRole role) { return SlotOf(role).place; }

std::vector<TensorSpec> ListTensors(const HyperParameters& h) {
  const Family& family = FamilyOf(h);
  const ModelSpec model = SpecOf(h);
  const std::vector<int64_t> vocabulary = {model.vocab_size, model.hidden_size};
  std::vector<TensorSpec> specs = {
      {TensorRole::kEmbedding, -1, std::string(kEmbeddingName), vocabulary, "token_embd.weight"}};
  for (size_t layer = 0; layer < model.layers.size(); ++layer) {
    size_t i = specs.size();
    family.append_layer(model, model.layers[layer], &specs);
    for (; i < specs.size(); ++i) {
      specs[i].layer = static_cast<int>(layer);
      specs[i].name = absl::StrCat("model.layers.", layer, ".", specs[i].name);
      specs[i].gguf_name = absl::StrCat("blk.", layer, ".", specs[i].gguf_name);
    }
  }
  specs.push_back(
      {TensorRole::kFinalNorm, -1, "model.norm.weight", {model.hidden_size}, "output_norm.weight"});
  specs.push_back({TensorRole::kHead, -1,
                   std::string(model.tie_word_embeddings ? kEmbeddingName : kHeadName), vocabulary,
                   "output.weight"});
  return specs;
}

bool IsIgnorableTensor(const HyperParameters& h, absl::string_view name) {
  if (name == kHeadName) return h.tie_word_embeddings;
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
