// A pass's work from its rows and pages.
#include "runtime/batch/floor_sum.h"

#include <utility>

namespace sluice {

FloorSum::FloorSum(const Manifest* manifest, const Model* model, int num_threads, bool verify_once,
                   MachineRates rates)
    : manifest_(*manifest),
      model_(*model),
      num_threads_(num_threads),
      verify_once_(verify_once),
      rates_(std::move(rates)) {}

void FloorSum::Add(const StepReport& step) {
  if (rates_.num_cpus == 0 || step.rows == 0) return;
  const Residency& residency = model_.plan().residency;
  PassWork work = DescribePass(manifest_, residency, step.rows, step.logit_rows, num_threads_,
                               verify_once_, model_.plan().HostSlabs(step.rows));
  work.disk().sent_bytes += step.kv_disk_bytes;
  work.host().sent_bytes += step.kv_link_bytes;
  if (!std::exchange(loaded_, true)) {
    for (size_t i = 0; i < manifest_.slabs.size(); ++i) {
      if (residency.tier[i] != kOnDisk) work.disk().sent_bytes += manifest_.slabs[i].bytes;
    }
  }
  const PassFloor floor = FloorOf(work, rates_);
  seconds_ += floor.floor_s();
  disk_seconds_ += floor.Seconds(kDiskTerm);
  compute_seconds_ += floor.compute_s;
}

double FloorSum::Efficiency() const {
  const double measured = model_.pass_counters().pass_seconds;
  return measured > 0 ? seconds_ / measured : 0;
}

}  // namespace sluice
