// How many sequences a batch job runs at once, and what to expect of it: a pure function of measured rates.
#ifndef SLUICE_RUNTIME_BATCH_BATCH_PLAN_H_
#define SLUICE_RUNTIME_BATCH_BATCH_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/batch/batch_shape.h"
#include "runtime/batch/job_passes.h"
#include "runtime/memory_plan.h"
#include "runtime/pass_floor.h"
#include "runtime/resume_cost.h"
#include "storage/layer_store.h"

namespace sluice {

struct BatchPlan {
  MemoryPlan memory;
  int64_t held_bytes = 0;     // what requests may hold at once, counted in `memory`
  int64_t batch_size = 0;     // sequences at once
  int64_t balanced_rows = 0;  // as in ScheduleLimits
  double rows = 0;            // of an average pass
  PassFloor pass;             // of such a pass
  int64_t kv_disk_bytes = 0;  // of keys and values that such a pass reads from disk and writes there
  double tokens_per_s = 0;    // generated; 0 where no rate is known
  JobPasses job;              // of the sequences that are left, to the last one; zeros where they are not known
  int64_t most_sequences = 0;  // that the budget has room for at once; 0: more than there are, or not tried
  ResumeCosts resume;         // of a sequence that is preempted from such a pass
};

// Pages of the KV cache that an average pass reads from disk and writes there, all layers of each.
struct KvDiskTraffic {
  double pages_read = 0;
  double pages_written = 0;
};
// Where `sequences` of the average shape share `memory_pages` in memory and have the others on disk. On average one
// has its prompt, half of its answer, and half a page that is not full; a pass reads what of that is on disk. It writes
// the share of a prompt that it computes, and the page that a sequence generates to; but those are in memory, and stay
// there, as long as there is room for them.
KvDiskTraffic DiskTrafficOf(const BatchShape& shape, double sequences, int64_t memory_pages);

// Sizes the KV cache for `batch_size` average sequences (0: as many as end the job soonest) and the
// rest as PlanMemory does with `request`, whose num_sequences, kv_pages, pass_rows and requests_bytes are set here.
//
// A pass of B sequences has B rows that generate and B * prompt / answer rows of prompts (OwnPromptTokens), and takes
// what PassFloor::predicted_s says. KV cache for one sequence more costs its bytes of resident weights, which are then
// read each pass: while the disk is the bottleneck, B / seconds grows as long as a sequence's KV is less than 1 / B
// of what is streamed; where computing is, it does not grow any more, and the smaller batch wins.
//
// Where shape.left has all sequences, a size is judged by CountPasses of them instead, so that the tail counts: of 64
// equal ones, 63 at once take as many passes as 32, which leave more memory to weights. Sizes that make equal waves are
// tried besides, and the largest one that fits.
//
// `kv_disk_pages`: of the KV cache on disk, or all if it has fewer; nothing: as many as pay. A page in memory costs its
// bytes of weights that are read each pass; one on disk is read itself, and takes the memory of two of its layers
// besides. So none pays before all weights are streamed, and only sizes that memory alone has no room for are
// tried with pages on disk: the fewest that make room, and more of them for more rows a pass. Those, too, win only by
// the tokens a second.
absl::StatusOr<BatchPlan> PlanBatch(const LayerStore& store, PlanRequest request, const MachineRates& rates,
                                    int num_threads, bool verify_once, const BatchShape& shape, int64_t batch_size,
                                    std::optional<int64_t> kv_disk_pages = 0);

// Why that many run at once, in a line: the waves, what they take, and what the budget has room for. Empty where no rate
// is known.
std::string DescribeWaves(const BatchPlan& plan, const BatchShape& shape);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_BATCH_PLAN_H_
