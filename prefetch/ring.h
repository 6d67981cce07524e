// The ring in host memory: the place and the state of each streamed slab.
#ifndef SLUICE_PREFETCH_RING_H_
#define SLUICE_PREFETCH_RING_H_

#include <cstdint>
#include <map>
#include <optional>

#include "prefetch/ring_space.h"

namespace sluice {

// The states of a slab in host memory:
//
//   kFree -> kReading -> kRead [-> kVerifying] [-> kUnpacking] -> kReady -> kLeased -> kFree
//                 |                    |              |
//                 +--------------------+--------------+----> kFailed, which ends the stream
//
// A visit that is dropped moves its slab kReady, kFailed -> kFree.
//
// The thread that finds room moves a slab to kReading, the engine to kRead, a worker from there up
// to kReady; the compute thread leases and frees. kVerifying is skipped for a slab that was
// verified before and need not be again, kUnpacking for one that is not compressed. All moves are
// made under the stream's mutex. A resident slab stays kReady, leased or not.
enum class SlabState : uint8_t {
  kFree,
  kReading,
  kRead,
  kVerifying,
  kUnpacking,
  kReady,
  kLeased,
  kFailed
};

// Makes the move; asserts that the drawing above has it.
void MoveSlab(SlabState* slab, SlabState to);

// A RingSpace that also has a state for each slab and checks the moves. Not thread-safe.
class Ring {
 public:
  // `capacity`: a multiple of 4096.
  explicit Ring(int64_t capacity) : space_(capacity) {}

  // Allocates as RingSpace::Allocate does; the slab is then kReading.
  std::optional<int64_t> Allocate(int64_t bytes);

  // Moves a slab of the ring to a state; kFree gives its ticket back.
  void Move(int64_t ticket, SlabState to);

  SlabState state(int64_t ticket) const { return states_.at(ticket); }
  int64_t begin(int64_t ticket) const { return space_.begin(ticket); }
  int64_t next_ticket() const { return space_.next_ticket(); }
  int64_t capacity() const { return space_.capacity(); }

 private:
  RingSpace space_;
  std::map<int64_t, SlabState> states_;  // by the tickets of space_
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_RING_H_
