// Opens, plans and starts the model, or the checkpoint's head, that drafts for another model.
#ifndef SLUICE_RUNTIME_OPEN_DRAFT_MODEL_H_
#define SLUICE_RUNTIME_OPEN_DRAFT_MODEL_H_

#include <memory>

#include "absl/status/statusor.h"
#include "kernels/ops.h"
#include "runtime/open/open_options.h"
#include "runtime/pass/memory_plan.h"
#include "runtime/pass/model.h"
#include "runtime/place/compute_place.h"
#include "runtime/text/tokenizer/tokenizer.h"
#include "storage/store/layer_store.h"

namespace sluice {

// A draft model or head, which the CPU computes. All its matrices stay in host memory; rows of its
// embedding are read when they are needed. Its parts point at each other.
struct DraftModel {
  std::unique_ptr<LayerStore> store;
  MemoryPlan plan;
  std::unique_ptr<ComputePlace> place;
  std::unique_ptr<Model> model;  // null until Start
};

// Opens the draft that `options` ask for beside `store`: the model of -md, or the head in the
// store. Null: they ask for none, or the store has no head and need not have one. NotFound: it must
// have one. FailedPrecondition: -md names a head. Other errors of LayerStore::Open.
absl::StatusOr<std::unique_ptr<DraftModel>> OpenDraft(const OpenOptions& options,
                                                      const LayerStore& store);

// The plan for `num_sequences` sequences; host().total_bytes() is what it takes.
absl::StatusOr<MemoryPlan> PlanDraft(const LayerStore& store, const OpenOptions& options,
                                     int64_t context_tokens, int64_t num_sequences);

// FailedPrecondition: the store is that of a head that drafts.
absl::Status CheckIsModel(const LayerStore& store);

// Refuses a draft whose vocabulary is another one (CheckSameVocabulary). A target without a
// tokenizer takes any draft that has none either. NotFound, DataLoss: of its tokenizer.
absl::Status CheckDraftVocabulary(const LayerStore& target_store, const Tokenizer* target,
                                  const LayerStore& draft_store);

// Starts it. `ops`, the CPU's, must outlive it. ResourceExhausted, or an error of the disk.
absl::Status StartDraft(const OpenOptions& options, Ops* ops, DraftModel* draft);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPEN_DRAFT_MODEL_H_
