// The link to a device, slowed down as --throttle-copy asks.
#ifndef SLUICE_PREFETCH_DEVICE_LINK_H_
#define SLUICE_PREFETCH_DEVICE_LINK_H_

#include <chrono>
#include <cstdint>

#include "kernels/base/mutex.h"
#include "prefetch/io/simulated_disk.h"

namespace sluice {

// Everything that is copied takes its time on the link: slabs, and pages of a KV cache. A slab
// waits until the link is ready. A page is copied at once, and the slabs behind it wait for longer.
// Thread-safe.
class DeviceLink {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // The parameters are SimulatedDisk's. bytes_per_s 0: no limit.
  DeviceLink(int64_t bytes_per_s, int64_t window_bytes) : simulated_(bytes_per_s, window_bytes) {}

  // Tells the link that a copy is wanted, after a time in which none was.
  void Wake(Time now) {
    const MutexLock lock(&mutex_);
    simulated_.Wake(now);
  }
  bool Ready(Time now) const {
    const MutexLock lock(&mutex_);
    return simulated_.Ready(now);
  }
  // Returns when the next copy may begin.
  Time next_start() const {
    const MutexLock lock(&mutex_);
    return simulated_.next_start();
  }
  // Tells the link that a copy of `bytes` begins, in either direction. Returns when the link will
  // be done with it.
  Time Begin(int64_t bytes, Time now) {
    const MutexLock lock(&mutex_);
    simulated_.Begin(bytes, now);
    return simulated_.next_start();
  }

 private:
  mutable Mutex mutex_;
  SimulatedDisk simulated_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_DEVICE_LINK_H_
