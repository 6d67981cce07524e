// When each slab changed hands: the latest moves of a stream, for traces.
#ifndef SLUICE_PREFETCH_TIMELINE_H_
#define SLUICE_PREFETCH_TIMELINE_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "prefetch/ring.h"

namespace sluice {

struct TimelineEvent {
  std::chrono::steady_clock::time_point time;
  int64_t position;  // of the walk: pass * slabs of the cycle + slab
  SlabState to;
};

// Keeps the last kEvents, in memory of its own. Not thread-safe.
class Timeline {
 public:
  static constexpr int kEvents = 4096;

  void Stamp(int64_t position, SlabState to) {
    events_[count_++ % kEvents] = {std::chrono::steady_clock::now(), position, to};
  }
  // The oldest first.
  std::vector<TimelineEvent> Events() const;

 private:
  std::array<TimelineEvent, kEvents> events_;
  int64_t count_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_TIMELINE_H_
