// The link to a device, as far as it is simulated: what --throttle-copy slows down.
#ifndef SLUICE_PREFETCH_DEVICE_LINK_H_
#define SLUICE_PREFETCH_DEVICE_LINK_H_

#include <chrono>
#include <cstdint>

#include "kernels/base/mutex.h"
#include "prefetch/io/simulated_disk.h"

namespace sluice {

// All that goes over the link takes its time on it, slabs and pages of a KV cache: slabs wait until
// the link is ready, pages go at once, and the slabs behind them wait for longer. Thread-safe.
class DeviceLink {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // As SimulatedDisk's. bytes_per_s 0: no limit.
  DeviceLink(int64_t bytes_per_s, int64_t window_bytes) : simulated_(bytes_per_s, window_bytes) {}

  // A copy is wanted, after a time in which none was.
  void Wake(Time now) {
    const MutexLock lock(&mutex_);
    simulated_.Wake(now);
  }
  bool Ready(Time now) const {
    const MutexLock lock(&mutex_);
    return simulated_.Ready(now);
  }
  // When the next copy may begin.
  Time next_start() const {
    const MutexLock lock(&mutex_);
    return simulated_.next_start();
  }
  // A copy of `bytes`, either way, begins. Returns when the link will be done with it.
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
