// Compares events on the device; the host's clock only says where they lie in the host's time.
#include "prefetch/device_timers.h"

#include <algorithm>
#include <utility>

#include "kernels/base/status_macros.h"

namespace sluice {
namespace {

// Records an event, waits for it, and sets the clock to that moment.
absl::Status Origin(Stream* stream, EventPool* events, EventPool::Handle* last,
                    DeviceClock* clock) {
  SLUICE_ASSIGN_OR_RETURN(*last, events->Take());
  SLUICE_RETURN_IF_ERROR(stream->Record(last->get()));
  SLUICE_RETURN_IF_ERROR((*last)->Wait());
  *clock = DeviceClock(std::chrono::steady_clock::now());
  return absl::OkStatus();
}

}  // namespace

absl::Status CopyTimer::Start(Stream* copies, EventPool* events) {
  return Origin(copies, events, &last_, &clock_);
}

absl::StatusOr<DeviceClock::Span> CopyTimer::Time(Event* begun, EventPool::Handle done,
                                                  DeviceClock::Time asked) {
  SLUICE_ASSIGN_OR_RETURN(const double pause, begun->SecondsSince(last_.get()));
  SLUICE_ASSIGN_OR_RETURN(const double seconds, done->SecondsSince(begun));
  last_ = std::move(done);
  return clock_.Place(pause, seconds, asked, std::chrono::steady_clock::now());
}

absl::Status KernelTimer::Start(Stream* compute, EventPool* events) {
  return Origin(compute, events, &last_, &clock_);
}

KernelTimer::Lease* KernelTimer::Find(int64_t visit) {
  const auto lease = std::find_if(leases_.rbegin(), leases_.rend(),
                                  [visit](const Lease& other) { return other.visit.id == visit; });
  return lease == leases_.rend() ? nullptr : &*lease;
}

absl::StatusOr<std::optional<KernelTimer::Settled>> KernelTimer::SettleOldest(size_t most) {
  if (leases_.size() <= most || leases_.front().done == nullptr) return std::nullopt;
  const Lease lease = std::move(leases_.front());
  leases_.pop_front();
  SLUICE_RETURN_IF_ERROR(lease.done->Wait());
  KernelTimes times = lease.times;
  Event* const come = lease.come != nullptr ? lease.come.get() : last_.get();
  SLUICE_ASSIGN_OR_RETURN(times.paused, come->SecondsSince(last_.get()));
  SLUICE_ASSIGN_OR_RETURN(times.until_end, lease.done->SecondsSince(come));
  if (lease.copied != nullptr) {
    SLUICE_RETURN_IF_ERROR(lease.copied->Wait());
    SLUICE_ASSIGN_OR_RETURN(times.copy_late, lease.copied->SecondsSince(come));
  }
  last_ = lease.done;
  const double late = std::clamp(times.copy_late, 0.0, std::max(0.0, times.until_end));
  const DeviceClock::Span span = clock_.Place(times.paused + late, times.until_end - late,
                                              lease.asked, std::chrono::steady_clock::now());
  return Settled{.visit = lease.visit,
                 .num_slabs = lease.num_slabs,
                 .alone = lease.come != nullptr,
                 .times = times,
                 .span = span};
}

}  // namespace sluice
