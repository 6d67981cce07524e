// All that a program has of one open store: opening, planning and starting it, step by step.
#ifndef SLUICE_RUNTIME_OPEN_SESSION_H_
#define SLUICE_RUNTIME_OPEN_SESSION_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/cuda/cuda_compute.h"
#include "kernels/ops.h"
#include "runtime/open/draft_model.h"
#include "runtime/open/open_options.h"
#include "runtime/pass/memory_plan.h"
#include "runtime/pass/model.h"
#include "runtime/place/compute_place.h"
#include "runtime/speculate/speculator.h"
#include "runtime/text/tokenizer/tokenizer.h"
#include "storage/store/layer_store.h"

namespace sluice {

// Rows of one pass that prefill and scoring ask for.
inline constexpr int64_t kPrefillRows = 512;

// Destroyed in reverse order: the model first.
struct Session {
  std::unique_ptr<LayerStore> store;
  std::unique_ptr<Tokenizer> tokenizer;  // null: the store has none
  std::unique_ptr<CudaCompute> gpu;      // null: the CPU computes
  bool fast_math = false;         // products of 16-bit floats round their activations: RoundingOf
  int64_t driver_host_bytes = 0;  // host memory that opening the device took
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Ops> ops;  // the CPU's
  std::unique_ptr<ComputePlace> place;
  std::unique_ptr<Model> model;
  std::unique_ptr<DraftModel> draft;       // null: there is none
  std::unique_ptr<Speculator> speculator;  // null: nothing is drafted
};

// Opens the store, the device and the tokenizer: what is needed to know how many rows a prompt has.
absl::StatusOr<Session> OpenStore(const OpenOptions& options);

// The same in two steps, for callers that start the model between them.
absl::StatusOr<Session> OpenStoreAlone(const OpenOptions& options);
// FailedPrecondition: a file of the tokenizer is missing. A warning says which files have changed
// since the store was made.
absl::Status LoadTokenizer(Session& session, const OpenOptions& options);

// An error of loading the tokenizer, with what to do if its files have changed.
absl::Status WithTokenizerChanges(const absl::Status& status, const std::string& tokenizer_dir,
                                  const Manifest& manifest);

// Before LoadTokenizer: starts the model if that can be done without knowing the prompt's ids, so
// that the disk reads while the tokenizer loads. It plans for a prompt of `most_rows` rows and for
// twice the tokenizer's files in place of the tokenizer, which holds less. What loading takes for a
// moment is memory that the KV cache and the activations do not touch before the first pass. Where
// the budget is too small for that, session.model stays null, and StartModel is to be called when
// the ids are known.
absl::Status StartModelEarly(Session& session, const OpenOptions& options, int64_t most_rows);

// The context in tokens. InvalidArgument: more than the model was made for.
absl::StatusOr<int64_t> ContextOf(const Session& session, const OpenOptions& options);

// What a plan for one sequence in passes of `pass_rows` rows is asked for.
absl::StatusOr<PlanRequest> RequestFor(const Session& session, const OpenOptions& options,
                                       int64_t pass_rows, bool logits_of_all_rows);

// The plan for `request`, with as many drafted rows as this machine computes beside the disk.
absl::StatusOr<MemoryPlan> PlanRequested(const Session& session, const OpenOptions& options,
                                         PlanRequest request);
// The plan for passes of `pass_rows` rows.
absl::StatusOr<MemoryPlan> PlanSession(const Session& session, const OpenOptions& options,
                                       int64_t pass_rows, bool logits_of_all_rows);

// Starts threads, kernels and the model. The calling thread is the one that runs passes.
absl::Status StartPlanned(Session& session, const OpenOptions& options, const MemoryPlan& plan);

// Plans with PlanSession, then starts the model with StartPlanned.
absl::Status StartModel(Session& session, const OpenOptions& options, int64_t pass_rows,
                        bool logits_of_all_rows);

// Names the store's content: the XXH3-64 of its manifest, which has the checksums of all else.
uint64_t StoreHash(const LayerStore& store);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPEN_SESSION_H_
