// Chooses how much is drafted for an open store, and by whom.
#ifndef SLUICE_RUNTIME_OPEN_SPECULATION_H_
#define SLUICE_RUNTIME_OPEN_SPECULATION_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "runtime/open/open_options.h"
#include "runtime/open/session.h"
#include "runtime/pass/memory_plan.h"
#include "runtime/speculate/speculator.h"

namespace sluice {

// Sequences at once that a batch's drafting is planned for, before it is known how many there are.
inline constexpr int64_t kManySequences = 64;

// Asks the plan for rows that drafts of as many sequences may take, where options.speculate wants
// any.
void RequestDrafts(const OpenOptions& options, int64_t num_sequences, PlanRequest* request);

// What a draft model takes for so many sequences of `context_tokens` at once; an empty function:
// there is none. `session` and `options` must outlive it.
std::function<absl::StatusOr<int64_t>(int64_t sequences)> DraftModelBytes(
    const Session& session, const OpenOptions& options, int64_t context_tokens);

struct DraftChoice {
  int64_t rows = 0;  // of a pass, over all sequences
  // The time that each of them adds to a pass, as a part of the time of a pass without them
  double row_price = 0;
};
// Chooses how many of plan.draft_rows a pass takes: as many as it computes while it reads the disk
// (a pass is up to 3% longer then), or memory, where all weights stay (up to 25%). The rates are
// what a probe remembered of this machine; without one, the choice is a guess.
DraftChoice ChooseDrafts(const Session& session, const OpenOptions& options,
                         const MemoryPlan& plan);

// Null where the model's plan has no rows for drafts. Starts the draft model where the plan has
// counted it.
absl::StatusOr<std::unique_ptr<Speculator>> MakeSpeculator(Session* session,
                                                           const OpenOptions& options);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPEN_SPECULATION_H_
