// A byte ring: room for slabs in the order of the walk, each contiguous, freed in any order.
#ifndef SLUICE_PREFETCH_RING_H_
#define SLUICE_PREFETCH_RING_H_

#include <cstdint>
#include <deque>
#include <optional>

namespace sluice {

// Where a slab in host memory stands.
//
//   kFree -> kReading -> kRead [-> kVerifying] [-> kUnpacking] -> kReady -> kLeased -> kFree
//                 |                    |              |
//                 +--------------------+--------------+----> kFailed, which ends the stream
//
// kFree -> kReading is the move of whichever thread found room; kReading -> kRead the engine's, then
// a worker's up to kReady; leasing and freeing are the compute thread's. A slab that was verified
// before and need not be again skips kVerifying, one that is not compressed kUnpacking. All are made
// under the stream's mutex. A resident slab stays kReady, leased or not.
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

// Counts bytes only; the memory is its owner's. Not thread-safe. Slabs are known by tickets 0, 1,
// 2, ... in the order of their allocation. Memory comes back in that order: what was freed ahead of
// an older slab waits for it. Invariant, asserted after every move: slabs + room for more + the
// unused end == capacity.
class Ring {
 public:
  // `capacity`: a multiple of 4096.
  explicit Ring(int64_t capacity) : capacity_(capacity) {}

  // Finds room for `bytes`, rounded up to 4096, and returns where it starts, a multiple of 4096;
  // the slab is kReading under the ticket next_ticket(). Nothing where there is no such room now.
  // An empty ring has room for anything up to its capacity.
  std::optional<int64_t> Allocate(int64_t bytes);

  // Moves a slab of the ring; kFree gives up its ticket.
  void Move(int64_t ticket, SlabState to);

  SlabState state(int64_t ticket) const { return slot(ticket).state; }
  int64_t begin(int64_t ticket) const { return slot(ticket).begin; }
  int64_t next_ticket() const { return first_ticket_ + static_cast<int64_t>(slots_.size()); }
  int64_t capacity() const { return capacity_; }

 private:
  struct Slot {
    int64_t begin;
    int64_t bytes;
    SlabState state = SlabState::kFree;
  };
  const Slot& slot(int64_t ticket) const { return slots_[ticket - first_ticket_]; }
  bool Consistent() const;

  int64_t capacity_;
  std::deque<Slot> slots_;  // the oldest first; bytes in this order, around the end once
  int64_t first_ticket_ = 0;
  int64_t head_ = 0;    // where the newest slab ends
  int64_t unused_ = 0;  // bytes at the end that were too few for the slab that went to the start
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_RING_H_
