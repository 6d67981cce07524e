// Records when each slab changed hands, for traces, and where a stage's time went.
#ifndef SLUICE_PREFETCH_TIMELINE_H_
#define SLUICE_PREFETCH_TIMELINE_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "prefetch/ring.h"
#include "prefetch/walk.h"

namespace sluice {

// The memory in which a slab moved. kDevice: kReading (its copy began) -> kReady -> kLeased (its
// kernels began) -> kFree, by the device's clock; a slab that is kept there has only kLeased and
// kFree. kCpu: the CPU computes with the slab in the device's place; kLeased and kFree by the
// host's clock. kKvIn, kKvOut: the pages of a layer's KV cache go from host memory to the device,
// and back; kReading -> kReady, with the number of the layer's first slab.
enum class Hop : uint8_t { kHost, kDevice, kCpu, kKvIn, kKvOut };

struct TimelineEvent {
  std::chrono::steady_clock::time_point time;
  int64_t pass;  // from 0
  int slab;      // index into the slabs of the source
  SlabState to;
  Hop hop = Hop::kHost;
  // The number of slabs that moved as one, from `slab` on; kernels have several where slabs are
  // kept on a device.
  int num_slabs = 1;
  int64_t bytes = 0;  // of pages of a KV cache; 0 for slabs
};

// Holds up to kEvents events that were not taken yet, in memory of its own; beyond that the oldest
// are lost. A resident slab has events for kLeased and kFree as well, though its state stays
// kReady. Not thread-safe.
class Timeline {
 public:
  static constexpr int kEvents = 4096;

  void Stamp(const Visit& visit, SlabState to) {
    Stamp({std::chrono::steady_clock::now(), visit.pass, visit.slab, to});
  }
  void Stamp(const TimelineEvent& event) { events_[count_++ % kEvents] = event; }
  // Returns the events since the last call, the oldest first.
  std::vector<TimelineEvent> Take();
  int64_t lost() const { return lost_; }

 private:
  std::array<TimelineEvent, kEvents> events_;
  int64_t count_ = 0;
  int64_t taken_ = 0;
  int64_t lost_ = 0;
};

// Measures how long a stage was in each of `kStates` states. The stage is always in one of them, so
// that the times add up to the wall time. It begins in state 0. Not thread-safe.
template <int kStates>
class StageClock {
 public:
  using Clock = std::chrono::steady_clock;

  void Enter(int state) { Enter(state, Clock::now()); }
  void Enter(int state, Clock::time_point now) {
    spent_[state_] += now - since_;
    since_ = now;
    state_ = state;
  }
  int state() const { return state_; }
  // Returns the seconds in each state, up to now.
  std::array<double, kStates> Seconds() const {
    std::array<double, kStates> seconds;
    for (int i = 0; i < kStates; ++i) {
      seconds[i] = std::chrono::duration<double>(spent_[i]).count();
    }
    seconds[state_] += std::chrono::duration<double>(Clock::now() - since_).count();
    return seconds;
  }

 private:
  std::array<Clock::duration, kStates> spent_ = {};
  Clock::time_point since_ = Clock::now();
  int state_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_TIMELINE_H_
