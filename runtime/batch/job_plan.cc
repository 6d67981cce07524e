// The shape of what is left, then what requests may hold, then the size.
#include "runtime/batch/job_plan.h"

#include <utility>

#include "kernels/base/status_macros.h"
#include "runtime/batch/batch_job.h"
#include "runtime/batch/batch_output.h"

namespace sluice {
namespace {

// Stands in for a probe where the batch size is given, so that none is needed, or where measuring
// failed. Kernels cost nothing in it.
MachineRates AssumedRates() {
  MachineRates rates;
  rates.disk_bytes_per_s = 2e9;
  rates.memory_bytes_per_s = 20e9;
  rates.link_bytes_per_s = 10e9;
  rates.device_memory_bytes_per_s = 200e9;
  return rates;
}

}  // namespace

absl::StatusOr<JobPlan> PlanJob(const LayerStore& store, const PlanRequest& request,
                                const JobPlanRequest& job, const PromptEncoder& encoder) {
  const JobInput& input = job.input;
  SLUICE_ASSIGN_OR_RETURN(BatchShape shape,
                          MeasureShape(input, ReadDoneBefore(job.output, job.retry_errors), encoder,
                                       request.context_tokens));
  // What was looked at may have missed the lines that follow one.
  if (shape.num_grammars == 0 && job.names_grammars) shape.num_grammars = BatchShape::kEachItsOwn;
  shape.bookkeeping_bytes = input.num_lines * BatchJob::kBytesPerLine;
  const MachineRates rates = job.rates.value_or(AssumedRates());
  const auto plan = [&](int64_t batch_size) {
    return PlanBatch(store, request, rates, job.num_threads, job.verify_once, shape, batch_size,
                     job.kv_disk_pages, job.draft_model_bytes);
  };
  const auto fits = [&](int64_t bytes) {
    shape.held_bytes = bytes;
    return plan(job.batch_size > 0 ? job.batch_size : 1).ok();
  };
  JobPlan planned;
  SLUICE_ASSIGN_OR_RETURN(planned.held,
                          FindHeldLimit(input.path, input.plain_text, request.context_tokens,
                                        encoder.max_bytes(), fits));
  shape.held_bytes = planned.held.bytes;
  SLUICE_ASSIGN_OR_RETURN(planned.batch, plan(job.batch_size));
  planned.held.bytes = planned.batch.held_bytes;
  // Nobody measured these rates.
  if (!job.rates.has_value()) planned.batch.job.seconds = planned.batch.tokens_per_s = 0;
  if (shape.num_sequences > 0) planned.waves = DescribeWaves(planned.batch, shape);
  return planned;
}

}  // namespace sluice
