// What the events of a device say: when in the host's time its work was done, and what its compute
// stream waited for.
#ifndef SLUICE_PREFETCH_DEVICE_CLOCK_H_
#define SLUICE_PREFETCH_DEVICE_CLOCK_H_

#include <algorithm>
#include <chrono>

namespace sluice {

// Puts what one stream did, one span after the other, into the host's time. A device's clock knows
// nothing of the host's and drifts from it; but work was asked for before it began, and was over
// when the host saw that. Not thread-safe.
class DeviceClock {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Span {
    Time begin;
    Time end;
  };

  // `origin`: when the mark was reached from which the first span is counted.
  explicit DeviceClock(Time origin) : last_(origin) {}

  // A span that began `pause` seconds after the one before had ended, and took `seconds`. It was
  // asked for at `asked`, and known to be over at `seen`.
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

// What became of a slab on the compute stream, in seconds.
struct KernelTimes {
  double paused = 0;  // from the end of the work before until the stream came to this slab
  // From then until its copy was done; negative where the copy was there already
  double copy_late = 0;
  double until_end = 0;  // from when the stream came to this slab until its kernels were done
  // How long the host waited before it could queue the slab's work: because the disk had not
  // brought it, or because copies before it were not done.
  double host_disk = 0;
  double host_copy = 0;
};

// Sums over slabs: where the compute stream's time went.
struct KernelSums {
  double kernel_seconds = 0;
  double wait_disk_seconds = 0;
  double wait_copy_seconds = 0;

  // A stream that had nothing queued waited for what the host waited for, and no longer than the
  // host did: the rest of such a pause is between passes, or launches that came late.
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
