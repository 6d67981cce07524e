// Adds up what the passes of a batch job should have taken.
#ifndef SLUICE_RUNTIME_BATCH_FLOOR_SUM_H_
#define SLUICE_RUNTIME_BATCH_FLOOR_SUM_H_

#include "runtime/engine/engine.h"
#include "runtime/floor/pass_floor.h"
#include "runtime/pass/model.h"
#include "storage/store/manifest.h"

namespace sluice {

// Takes each step of an engine, and holds the floors of all passes against their time. For the
// thread that runs passes.
class FloorSum {
 public:
  // `manifest` is that of the model's store; it and `model` must outlive this. `rates` without CPUs
  // are none: then all sums stay 0. `verify_once` as in ReadOptions.
  FloorSum(const Manifest* manifest, const Model* model, int num_threads, bool verify_once,
           MachineRates rates);

  // Counts the pass of a step; the first one reads what stays in memory, too.
  void Add(const StepReport& step);

  // Returns the floors over the measured time; 0 where no rates are known.
  double Efficiency() const;
  // Of all passes, each alone: what reading takes, and what products take.
  double disk_seconds() const { return disk_seconds_; }
  double compute_seconds() const { return compute_seconds_; }

 private:
  const Manifest& manifest_;
  const Model& model_;
  const int num_threads_;
  const bool verify_once_;
  const MachineRates rates_;
  double seconds_ = 0;
  double disk_seconds_ = 0;
  double compute_seconds_ = 0;
  bool loaded_ = false;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_FLOOR_SUM_H_
