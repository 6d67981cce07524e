// Plans a batch job: from its files to how many of its requests run at once.
#ifndef SLUICE_RUNTIME_BATCH_JOB_PLAN_H_
#define SLUICE_RUNTIME_BATCH_JOB_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/batch/batch_plan.h"
#include "runtime/batch/batch_shape.h"
#include "runtime/batch/held_results.h"
#include "runtime/floor/pass_floor.h"
#include "runtime/openai/prompt_encoder.h"
#include "runtime/pass/memory_plan.h"
#include "storage/store/layer_store.h"

namespace sluice {

struct JobPlanRequest {
  JobInput input;
  std::string output;           // of this job: what earlier runs have done is not planned again
  bool retry_errors = false;    // requests that failed are run again
  bool names_grammars = false;  // as InputSummary has it
  int64_t batch_size = 0;       // requests at once; 0: as many as end the job soonest
  int num_threads = 1;          // that compute
  bool verify_once = false;     // as ReadOptions has it
  // What a probe measured. Nothing: rates are assumed, and the plan predicts no time.
  std::optional<MachineRates> rates = {};
  std::optional<int64_t> kv_disk_pages = {};  // as PlanBatch takes them
  DraftModelBytesFn draft_model_bytes = {};   // the same
};

struct JobPlan {
  BatchPlan batch;
  HeldLimit held;     // what the plan lets requests hold
  std::string waves;  // DescribeWaves; empty where no request is left
};

// Measures the requests that are left and plans for them with PlanBatch; `request` is the one of
// PlanBatch. The largest request that the budget has room for decides what requests may hold.
// Errors are those of MeasureShape, FindHeldLimit and PlanBatch.
absl::StatusOr<JobPlan> PlanJob(const LayerStore& store, const PlanRequest& request,
                                const JobPlanRequest& job, const PromptEncoder& encoder);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_JOB_PLAN_H_
