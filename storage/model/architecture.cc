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
constexpr std::array<Slot, 24> kSlots = {{
    {TensorRole::kEmbedding, "embedding", kRows},
    {TensorRole::kTokenNorm, "token_norm", kResident},
    {TensorRole::kHiddenNorm, "hidden_norm", kResident},
    {TensorRole::kMerge, "merge", kSlabs},
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

// What all names of a layer's tensors begin with.
std::string LayerPrefix(const HyperParameters& h, const Family& family, size_t layer) {
  return absl::StrCat(h.is_mtp_head ? family.mtp->prefix : "model.layers.", layer, ".");
}

// What a head that drafts has in front of its block.
void AppendMerge(const ModelSpec& model, const MtpNames& names, std::vector<TensorSpec>* specs) {
  const int64_t hidden = model.hidden_size;
  specs->push_back({TensorRole::kTokenNorm, -1, std::string(names.token_norm), {hidden}});
  specs->push_back({TensorRole::kHiddenNorm, -1, std::string(names.hidden_norm), {hidden}});
  specs->push_back({TensorRole::kMerge, -1, std::string(names.merge), {hidden, 2 * hidden}});
}

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
    if (model.merges_hidden) AppendMerge(model, *family.mtp, &specs);
    family.append_layer(model, model.layers[layer], &specs);
    for (; i < specs.size(); ++i) {
      specs[i].layer = static_cast<int>(layer);
      specs[i].name = absl::StrCat(LayerPrefix(h, family, layer), specs[i].name);
      specs[i].gguf_name = absl::StrCat("blk.", layer, ".", specs[i].gguf_name);
    }
  }
  const std::string final_norm =
      h.is_mtp_head ? absl::StrCat(LayerPrefix(h, family, 0), family.mtp->final_norm)
                    : "model.norm.weight";
  specs.push_back(
      {TensorRole::kFinalNorm, -1, final_norm, {model.hidden_size}, "output_norm.weight"});
  specs.push_back({TensorRole::kHead, -1,
                   std::string(model.tie_word_embeddings ? kEmbeddingName : kHeadName), vocabulary,
                   "output.weight"});
  return specs;
}

bool IsMtpTensor(const HyperParameters& h, absl::string_view name) {
  const MtpNames* const names = FamilyOf(h).mtp;
  return names != nullptr && absl::StartsWith(name, names->prefix);
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
