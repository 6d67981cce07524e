// When copies to a device and the kernels that read them ran: what the events around them say.
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
  // Times are counted from here: once all that `copies` has queued is done, for which it waits.
  absl::Status Start(Stream* copies, EventPool* events);
  // When the copy between two events ran, which is done; it was asked for at `asked`.
  absl::StatusOr<DeviceClock::Span> Time(Event* begun, EventPool::Handle done,
                                         DeviceClock::Time asked);

 private:
  EventPool::Handle last_;  // the end of the copy before
  DeviceClock clock_{std::chrono::steady_clock::now()};
};

// Times the work of leases in the order of the compute stream. For the thread that takes and drops
// the leases.
class KernelTimer {
 public:
  // A lease whose times are not known yet.
  struct Lease {
    Visit visit;
    int num_slabs = 1;
    EventPool::Handle come = nullptr;    // the compute stream came to it; null: the last of slabs
                                         // that stay, timed together
    EventPool::Handle copied = nullptr;  // null: a slab that stays
    EventPool::Handle done = nullptr;    // null: the lease is held
    DeviceClock::Time asked = {};
    KernelTimes times = {};  // what the host waited, so far
  };
  struct Settled {
    Visit visit;
    int num_slabs;
    bool alone;  // false: `span` is of slabs that stay, timed together
    KernelTimes times;
    DeviceClock::Span span;
  };

  // Times are counted from here: once all that `compute` has queued is done, for which it waits.
  absl::Status Start(Stream* compute, EventPool* events);
  void Add(Lease lease) { leases_.push_back(std::move(lease)); }
  // The lease of the visit with this id; null where it is not timed.
  Lease* Find(int64_t visit);
  // The times of the oldest lease, for whose work it waits. Nothing where `most` leases are left,
  // or the oldest one is held.
  absl::StatusOr<std::optional<Settled>> SettleOldest(size_t most);

 private:
  std::deque<Lease> leases_;
  EventPool::Handle last_;  // the end of the work that was settled last
  DeviceClock clock_{std::chrono::steady_clock::now()};
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_DEVICE_TIMERS_H_
