// Times copies to a device and the kernels that read them, by the events around them.
#ifndef SLUICE_PREFETCH_DEVICE_TIMERS_H_
#define SLUICE_PREFETCH_DEVICE_TIMERS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "prefetch/device_clock.h"
#include "prefetch/event_pool.h"
#include "prefetch/walk.h"

namespace sluice {

// Times copies in the order of their stream. For one thread.
class CopyTimer {
 public:
  // Begins to count, from the end of all that `copies` has queued; waits for that.
  absl::Status Start(Stream* copies, EventPool* events);
  // Returns when the copy between two events ran. The copy is done; the host asked for it at
  // `asked`.
  absl::StatusOr<DeviceClock::Span> Time(Event* begun, EventPool::Handle done,
                                         DeviceClock::Time asked);

 private:
  EventPool::Handle last_;  // the end of the previous copy
  DeviceClock clock_{std::chrono::steady_clock::now()};
};

// Times the work of leases in the order of the compute stream. Used by the thread that takes and
// drops the leases.
class KernelTimer {
 public:
  // A lease whose times are not known yet.
  struct Lease {
    Visit visit;
    int num_slabs = 1;
    // when the compute stream came to the slab; null: not the first of a run of kept slabs, which
    // are timed together
    EventPool::Handle come = nullptr;
    EventPool::Handle copied = nullptr;  // null: the slab is kept
    EventPool::Handle done = nullptr;    // null: the lease is still held
    DeviceClock::Time asked = {};
    KernelTimes times = {};  // what the host has waited so far
  };
  struct Settled {
    Visit visit;
    int num_slabs;
    bool alone;  // false: `span` is of a run of kept slabs
    KernelTimes times;
    DeviceClock::Span span;
  };

  // Begins to count, from the end of all that `compute` has queued; waits for that.
  absl::Status Start(Stream* compute, EventPool* events);
  void Add(Lease lease) { leases_.push_back(std::move(lease)); }
  // Returns the lease of the visit with this id; null if the lease is not timed.
  Lease* Find(int64_t visit);
  // Waits for the work of the oldest lease and returns its times. Returns nothing if only `most`
  // leases are left, or the oldest one is still held.
  absl::StatusOr<std::optional<Settled>> SettleOldest(size_t most);

 private:
  std::deque<Lease> leases_;
  EventPool::Handle last_;  // the end of the work that was settled last
  DeviceClock clock_{std::chrono::steady_clock::now()};
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_DEVICE_TIMERS_H_
