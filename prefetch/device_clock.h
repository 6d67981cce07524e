// Turns the events of a device into times of the host: when work was done, and for how long the
// compute stream waited for what.
#ifndef SLUICE_PREFETCH_DEVICE_CLOCK_H_
#define SLUICE_PREFETCH_DEVICE_CLOCK_H_

#include <algorithm>
#include <chrono>

namespace sluice {

// Places the spans of one stream, one after the other, in the host's time. A device's clock is not
// the host's and drifts from it; two facts tie them together: work begins after the host asked for
// it, and has ended before the host sees that. Not thread-safe.
class DeviceClock {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Span {
    Time begin;
    Time end;
  };

  // `origin`: the time of the mark from which the first span is counted.
  explicit DeviceClock(Time origin) : last_(origin) {}

  // Places a span that began `pause` seconds after the previous one had ended, and took `seconds`.
  // The host asked for it at `asked` and saw its end at `seen`.
  Span Place(double pause, double seconds, Time asked, Time seen) {
    Time begin = last_ + Of(pause);
    Time end = begin + Of(seconds);
    const Time::duration shift = end > seen      ? seen - end
                                 : begin < asked ? std::min(asked - begin, seen - end)
                                                 : Time::duration::zero();
    begin = std::max(begin + shift, last_);
    end = std::max(end + shift, begin);
    last_ = end;
    return {begin, end};
  }

 private:
  static Time::duration Of(double seconds) {
    return std::chrono::duration_cast<Time::duration>(
        std::chrono::duration<double>(std::max(0.0, seconds)));
  }

  Time last_;
};

// The times of one slab on the compute stream, in seconds.
struct KernelTimes {
  double paused = 0;  // from the end of the previous work until the stream came to this slab
  // From then until the slab's copy was done; negative if the copy was done before.
  double copy_late = 0;
  double until_end = 0;  // from when the stream came to this slab until its kernels were done
  // How long the host waited before it could queue the slab's work: for the disk to bring the slab
  // (host_disk), or for earlier copies to be done (host_copy).
  double host_disk = 0;
  double host_copy = 0;
};

// Sums over slabs that say where the compute stream's time went.
struct KernelSums {
  double kernel_seconds = 0;
  double wait_disk_seconds = 0;
  double wait_copy_seconds = 0;

  // Adds the times of one slab. While the stream had nothing queued, it waited for the same thing
  // as the host, and for no longer than the host. The rest of such a pause lies between passes, or
  // comes from launches that were late.
  void Add(const KernelTimes& times) {
    const double late = std::clamp(times.copy_late, 0.0, std::max(0.0, times.until_end));
    kernel_seconds += std::max(0.0, times.until_end) - late;
    wait_copy_seconds += late;
    const double host = times.host_disk + times.host_copy;
    if (host <= 0) return;
    const double share = std::clamp(times.paused / host, 0.0, 1.0);
    wait_disk_seconds += share * times.host_disk;
    wait_copy_seconds += share * times.host_copy;
  }
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_DEVICE_CLOCK_H_
