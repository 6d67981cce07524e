// Which tensors a model has, and where they lie.
#ifndef SLUICE_STORAGE_MODEL_ARCHITECTURE_H_
#define SLUICE_STORAGE_MODEL_ARCHITECTURE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/model/hyper_parameters.h"

namespace sluice {

// What a tensor is for. The manifest stores these by name: the runtime parses no tensor name.
enum class TensorRole : uint8_t {
  kEmbedding,
  kTokenNorm,   // of a head that drafts: of the embedding of the next token
  kHiddenNorm,  // of the model's hidden row
  kMerge,       // of both, the hidden row first
  kAttentionNorm,
  kQ,
  kK,
  kV,
  kO,
  kQBias,
  kKBias,
  kVBias,
  kOBias,
  kQNorm,
  kKNorm,
  kMlpNorm,
  kGate,
  kUp,
  kDown,
  kGateBias,
  kUpBias,
  kDownBias,
  kFinalNorm,
  kHead,
};
absl::string_view RoleName(TensorRole role);  // "attention_norm", "q", ...
absl::StatusOr<TensorRole> ParseRole(absl::string_view name);

// Where a tensor lives in a store.
enum class TensorPlace : uint8_t {
  kSlabs,     // matrices: streamed
  kResident,  // norms and biases: f32, always in memory
  kRows,      // the embedding: gathered by the row
};
TensorPlace PlaceOf(TensorRole role);

// How a GGUF file stores the rows of a tensor.
enum class GgufRows : uint8_t {
  kInOrder,
  // In each head, row i of the first half is stored as row 2i, of the second half as row 2i + 1.
  kHalvesTakeTurns,
};

struct TensorSpec {
  TensorRole role;
  int layer;                   // -1: not of a layer
  std::string name;            // in the checkpoint
  std::vector<int64_t> shape;  // [n], or [rows, cols] as stored: out_features, in_features
  std::string gguf_name = "";  // in a GGUF file
  GgufRows gguf_rows = GgufRows::kInOrder;
};

inline constexpr absl::string_view kEmbeddingName = "model.embed_tokens.weight";
inline constexpr absl::string_view kHeadName = "lm_head.weight";

// The tensors of a model, as its family has them. Order: embedding, then layer by layer, then final
// norm and head. A tied head is listed with the embedding's name. The list of a head that drafts
// (HyperParameters::is_mtp_head) has the model's embedding and head, too.
std::vector<TensorSpec> ListTensors(const HyperParameters& hyper_parameters);

// Whether a tensor is of one of the checkpoint's heads that draft.
bool IsMtpTensor(const HyperParameters& hyper_parameters, absl::string_view name);

// Checkpoint tensors that are no weights of ours but known to be harmless (a stored
// `rotary_emb.inv_freq`; `lm_head.weight` of a tied model): ignored instead of reported as extra.
bool IsIgnorableTensor(const HyperParameters& hyper_parameters, absl::string_view name);

}  // namespace sluice

#endif  // SLUICE_STORAGE_MODEL_ARCHITECTURE_H_
