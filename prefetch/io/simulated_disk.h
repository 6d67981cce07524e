// Computes when a disk or a link of a given speed would begin each transfer, for --throttle-disk
// and --throttle-copy.
#ifndef SLUICE_PREFETCH_IO_SIMULATED_DISK_H_
#define SLUICE_PREFETCH_IO_SIMULATED_DISK_H_

#include <stdint.h>

#include <algorithm>
#include <chrono>

namespace sluice {

// Simulates a disk that works on with what was asked of it: a thread that comes late to hand out
// the next read loses nothing, if the disk's own queue, of `window_bytes`, would have kept it busy.
// With nothing asked the disk stands still, and that time does not come back. A link to a device is
// the same, with copies for reads. Not thread-safe.
class SimulatedDisk {
 public:
  using Clock = std::chrono::steady_clock;

  // bytes_per_s 0: no limit, every read may begin at once.
  SimulatedDisk(int64_t bytes_per_s, int64_t window_bytes)
      : bytes_per_s_(bytes_per_s), window_(Cost(window_bytes)) {}

  // Tells the disk of the first request after a time in which none was waiting.
  void Wake(Clock::time_point now) { next_start_ = std::max(next_start_, now); }
  bool Ready(Clock::time_point now) const { return bytes_per_s_ == 0 || now >= next_start_; }
  // Tells the disk that a read of `bytes` begins.
  void Begin(int64_t bytes, Clock::time_point now) {
    next_start_ = std::max(next_start_, now - window_) + Cost(bytes);
  }
  // Returns when the next read may begin: when the previous one has come.
  Clock::time_point next_start() const { return next_start_; }

 private:
  Clock::duration Cost(int64_t bytes) const {
    if (bytes_per_s_ == 0) return Clock::duration::zero();
    const std::chrono::duration<double> cost(static_cast<double>(bytes) /
                                             static_cast<double>(bytes_per_s_));
    return std::chrono::duration_cast<Clock::duration>(cost);
  }

  const int64_t bytes_per_s_;
  const Clock::duration window_;
  Clock::time_point next_start_{};
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_IO_SIMULATED_DISK_H_
