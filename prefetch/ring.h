// The ring in host memory: the place and the state of each streamed slab.
#ifndef SLUICE_PREFETCH_RING_H_
#define SLUICE_PREFETCH_RING_H_

#include <cstdint>
#include <map>
#include <optional>

#include "prefetch/ring_space.h"

namespace sluice {

// Where a slab in host memory stands.
//
//   kFree -> kReading -> kRead [-> kVerifying] [-> kUnpacking] -> kReady -> kLeased -> kFree
//                 |                    |              |
//                 +--------------------+--------------+----> kFailed, which ends the stream
//
// kReady, kFailed -> kFree: of a visit that was dropped.
//
// kFree -> kReading is the move of whichever thread found room; kReading -> kRead the engine's,
// then a worker's up to kReady; leasing and freeing are the compute thread's. A slab that was
// verified before and need not be again skips kVerifying, one that is not compressed kUnpacking.
// All are made under the stream's mutex. A resident slab stays kReady, leased or not.
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

// Makes the move; asserts that it is one of those above.
void MoveSlab(SlabState* slab, SlabState to);

// RingSpace with a state a slab: moves are checked. Not thread-safe.
class Ring {
 public:
  // `capacity`: a multiple of 4096.
  explicit Ring(int64_t capacity) : space_(capacity) {}

  // As RingSpace::Allocate; the slab is kReading.
  std::optional<int64_t> Allocate(int64_t bytes);

  // Moves a slab of the ring; kFree gives up its ticket.
  void Move(int64_t ticket, SlabState to);

  SlabState state(int64_t ticket) const { return states_.at(ticket); }
  int64_t begin(int64_t ticket) const { return space_.begin(ticket); }
  int64_t next_ticket() const { return space_.next_ticket(); }
  int64_t capacity() const { return space_.capacity(); }

 private:
  RingSpace space_;
  std::map<int64_t, SlabState> states_;  // of the space's tickets
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_RING_H_
