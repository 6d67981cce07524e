// A plan in which every slab stays, for a model whose speed is that of memory.
#include "runtime/open/draft_model.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/speculate/model_drafter.h"
#include "runtime/speculate/vocabulary_match.h"

namespace sluice {
namespace {

// A draft sees this much of a text: more would take memory from the target and gain little.
constexpr int64_t kDraftWindow = 2048;
constexpr int64_t kDraftPassRows = 128;

}  // namespace

absl::StatusOr<MemoryPlan> PlanDraft(const LayerStore& store, const OpenOptions& options,
                                     int64_t context_tokens, int64_t num_sequences) {
  PlanRequest request;
  request.max_ram_bytes = std::numeric_limits<int64_t>::max() / 4;
  request.context_tokens =
      std::min({context_tokens, kDraftWindow, store.hyper_parameters().max_position_embeddings}) +
      ModelDrafter::kSlotsBeyond;
  request.num_sequences = num_sequences;
  request.draft_rows = ModelDrafter::DraftRowsFor(num_sequences);
  request.pass_rows = std::max(kDraftPassRows, num_sequences + request.draft_rows);
  request.num_threads = options.num_threads;
  request.k_type = options.k_type;
  request.v_type = options.v_type;
  request.bytes_in_flight = options.read.io.read_bytes * options.read.io.queue_depth;
  return PlanMemory(store, request);
}

absl::Status CheckDraftVocabulary(const LayerStore& target_store, const Tokenizer* target,
                                  const LayerStore& draft_store) {
  absl::StatusOr<std::unique_ptr<Tokenizer>> draft = Tokenizer::Load(draft_store.TokenizerDir());
  if (absl::IsNotFound(draft.status()) && target == nullptr) return absl::OkStatus();
  SLUICE_RETURN_IF_ERROR(draft.status());
  if (target == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(target_store.dir(), " has no tokenizer, ",
                                                   draft_store.dir(),
                                                   " has one: nothing says that their ids agree"));
  }
  return CheckSameVocabulary(*target, target_store.dir(), **draft, draft_store.dir());
}

absl::Status StartDraft(const OpenOptions& options, Ops* ops, DraftModel* draft) {
  draft->model.reset();  // before the place that it computes in
  draft->place = MakeHostPlace(ops);
  ReadOptions read = options.read;
  read.io.max_bytes_per_s = 0;  // a throttle is for what is measured: the target's disk
  read.io.scratch_dir.clear();
  SLUICE_ASSIGN_OR_RETURN(draft->model,
                          Model::Create(*draft->store, draft->plan, draft->place.get(), read));
  return absl::OkStatus();
}

}  // namespace sluice
