// The bytes of a ring: room for slabs in the order of the walk, each contiguous, freed in any
// order.
#ifndef SLUICE_PREFETCH_RING_SPACE_H_
#define SLUICE_PREFETCH_RING_SPACE_H_

#include <cstdint>
#include <deque>
#include <optional>

namespace sluice {

// Counts bytes only; the memory is its owner's. Not thread-safe. Slabs are known by tickets 0, 1,
// 2, ... in the order of their allocation. Memory comes back in that order: what was freed ahead of
// an older slab waits for it. Invariant, asserted after every change: slabs + room for more + the
// unused end == capacity.
class RingSpace {
 public:
  // `capacity`: a multiple of 4096.
  explicit RingSpace(int64_t capacity) : capacity_(capacity) {}

  // Finds room for `bytes`, rounded up to 4096, and returns where it starts, a multiple of 4096;
  // the slab has the ticket that next_ticket() was. Nothing where there is no such room now. An
  // empty ring has room for anything up to its capacity.
  std::optional<int64_t> Allocate(int64_t bytes);

  // Gives up a ticket.
  void Free(int64_t ticket);

  int64_t begin(int64_t ticket) const { return slots_[ticket - first_ticket_].begin; }
  int64_t first_ticket() const { return first_ticket_; }  // the oldest whose memory is taken
  int64_t next_ticket() const { return first_ticket_ + static_cast<int64_t>(slots_.size()); }
  int64_t capacity() const { return capacity_; }

 private:
  struct Slot {
    int64_t begin;
    int64_t bytes;
    bool free = false;
  };
  bool Consistent() const;

  int64_t capacity_;
  std::deque<Slot> slots_;  // the oldest first; bytes in this order, around the end once
  int64_t first_ticket_ = 0;
  int64_t head_ = 0;    // where the newest slab ends
  int64_t unused_ = 0;  // bytes at the end that were too few for the slab that went to the start
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_RING_SPACE_H_
