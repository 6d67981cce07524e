// When each slab changed hands, for traces; and where a stage's time went.
#ifndef SLUICE_PREFETCH_TIMELINE_H_
#define SLUICE_PREFETCH_TIMELINE_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "prefetch/ring.h"
#include "prefetch/walk.h"

namespace sluice {

// Which memory's slot of a slab moved. A device's goes kReading (its copy began) -> kReady ->
// kLeased (kernels began) -> kFree, by the device's clock; a slab that stays there is stamped
// kLeased and kFree only, and so is, by the host's clock, one that the CPU computes with in the
// device's place (kCpu). A layer's pages of a KV cache in host memory go kReading -> kReady on
// their way to the device (kKvIn), and again on their way back (kKvOut); they are stamped for the
// layer's first slab.
enum class Hop : uint8_t { kHost, kDevice, kCpu, kKvIn, kKvOut };

struct TimelineEvent {
  std::chrono::steady_clock::time_point time;
  int64_t pass;  // from 0
  int slab;      // index into the slabs of the source
  SlabState to;
  Hop hop = Hop::kHost;
  // From `slab` on, that moved as one: kernels on a device have several where they stay.
  int num_slabs = 1;
  int64_t bytes = 0;  // of pages; of slabs nothing
};

// Holds up to kEvents that nobody took yet, in memory of its own; then the oldest are lost. A
// resident slab is stamped kLeased and kFree as well, though its state stays kReady. Not
// thread-safe.
class Timeline {
 public:
  static constexpr int kEvents = 4096;

  void Stamp(const Visit& visit, SlabState to) {
    Stamp({std::chrono::steady_clock::now(), visit.pass, visit.slab, to});
  }
  void Stamp(const TimelineEvent& event) { events_[count_++ % kEvents] = event; }
  // What was stamped since the last Take, the oldest first.
  std::vector<TimelineEvent> Take();
  int64_t lost() const { return lost_; }

 private:
  std::array<TimelineEvent, kEvents> events_;
  int64_t count_ = 0;
  int64_t taken_ = 0;
  int64_t lost_ = 0;
};

// Which of `kStates` states a stage is in, and how long it was in each: all of its time is in one
// of them, so they add up to the wall time. Begins in state 0. Not thread-safe.
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
  // Seconds in each state, up to now.
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
