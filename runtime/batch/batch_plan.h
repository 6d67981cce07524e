// How many sequences a batch job runs at once, and what to expect of it: a pure function of
// measured rates.
#ifndef SLUICE_RUNTIME_BATCH_BATCH_PLAN_H_
#define SLUICE_RUNTIME_BATCH_BATCH_PLAN_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/batch/batch_shape.h"
#include "runtime/batch/job_passes.h"
#include "runtime/floor/pass_floor.h"
#include "runtime/kv/resume_cost.h"
#include "runtime/pass/memory_plan.h"
#include "storage/store/layer_store.h"

namespace sluice {

struct BatchPlan {
  MemoryPlan memory;
  int64_t held_bytes = 0;     // what requests may hold at once, counted in `memory`
  int64_t batch_size = 0;     // sequences at once
  int64_t balanced_rows = 0;  // as in ScheduleLimits
  double rows = 0;            // of an average pass
  PassFloor pass;             // of such a pass
  int64_t kv_disk_bytes =
      0;                    // of keys and values that such a pass reads from disk and writes there
  double tokens_per_s = 0;  // generated; 0 where no rate is known
  JobPasses job;  // of the sequences that are left, to the last one; zeros where they are not known
  int64_t most_sequences =
      0;               // that the budget has room for at once; 0: more than there are, or not tried
  ResumeCosts resume;  // of a sequence that is preempted from such a pass
};

// The pages of the KV cache, all layers of each, that an average pass reads from disk and writes
// there.
struct KvDiskTraffic {
  double pages_read = 0;
  double pages_written = 0;
};
// `sequences` sequences of the average shape share `memory_pages` in memory and have their other
// pages on disk. On average a sequence has its prompt, half of its answer, and half a page that is
// not full; a pass reads the part of it that is on disk. A pass writes the pages of the prompt rows
// that it computes, and the page to which a sequence generates; but these pages stay in memory as
// long as there is room for them.
KvDiskTraffic DiskTrafficOf(const BatchShape& shape, double sequences, int64_t memory_pages);

// The bytes of host memory that a draft model takes for that many sequences at once; an empty
// function: there is none.
using DraftModelBytesFn = std::function<absl::StatusOr<int64_t>(int64_t sequences)>;

// Sizes the KV cache for `batch_size` average sequences (0: as many as end the job soonest) and the
// rest as PlanMemory does with `request`, whose num_sequences, kv_pages, pass_rows and
// requests_bytes are set here.
//
// A pass of B sequences has B rows that generate and B * prompt / answer rows of prompts
// (OwnPromptTokens), and takes what PassFloor::predicted_s says. The KV cache of one more sequence
// takes the place of as many bytes of resident weights, which are then read in each pass. While the
// disk is the bottleneck, B / seconds grows as long as a sequence's KV is less than 1 / B of the
// streamed bytes. Once computing is the bottleneck, it grows no more, and the smaller batch wins.
//
// If shape.left has all sequences, a size is judged by CountPasses of them instead, so that the
// last passes count: for 64 equal sequences, 63 at once take as many passes as 32, which leave more
// memory to weights. Sizes that make equal waves and the largest size that fits are tried as well.
//
// `kv_disk_pages`: the pages of the KV cache that are on disk, or all if it has fewer; nothing: as
// many as pay. A page in memory takes the place of as many bytes of weights, which are then read in
// each pass. A page on disk is itself read in each pass, and also takes memory for two of its
// layers. So no page on disk pays before all weights are streamed, and only sizes that memory alone
// has no room for are tried with pages on disk: with the fewest pages that make room, and with more
// pages for more rows a pass. These sizes, too, win only by their tokens a second.
//
// request.draft_rows are granted as far as passes of that many sequences are known to have rows to
// spare while the disk reads; request.drafters_bytes is set here, too, where it is not 0. A draft
// model is counted where four rows or more are granted, and gets a few where no rate is known or
// all weights stay; memory.request.draft_model_bytes of 0: it is not to be started. What drafts
// bring is not predicted. ResourceExhausted: the draft model does not fit beside the size that is
// asked for, or beside one sequence.
absl::StatusOr<BatchPlan> PlanBatch(const LayerStore& store, PlanRequest request,
                                    const MachineRates& rates, int num_threads, bool verify_once,
                                    const BatchShape& shape, int64_t batch_size,
                                    std::optional<int64_t> kv_disk_pages = 0,
                                    const DraftModelBytesFn& draft_model_bytes = {});

// Says in a line why this many sequences run at once: the waves, their time, and how many the
// budget has room for. Empty if no rate is known.
std::string DescribeWaves(const BatchPlan& plan, const BatchShape& shape);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_BATCH_PLAN_H_
