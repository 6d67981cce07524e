// Gives out the bytes of a ring: contiguous room for each slab, in the order of the walk, freed in
// any order.
#ifndef SLUICE_PREFETCH_RING_SPACE_H_
#define SLUICE_PREFETCH_RING_SPACE_H_

#include <cstdint>
#include <map>
#include <optional>

namespace sluice {

// Does the bookkeeping; the memory is its owner's. Slabs are known by tickets 0, 1, 2, ... in the
// order of their allocation. Not thread-safe.
//
// Allocate() looks for room from the end of the newest slab on, around the end of the ring, up to
// the oldest slab. If slabs are freed in order, that is a plain ring. A slab that is held while
// newer ones are freed is passed over: the ring goes on behind it. (Frames of one size would do
// that as well, but waste the difference between a slab and its frame. A second ring for slabs that
// are held for longer would have to be chosen when they are read.)
class RingSpace {
 public:
  // `capacity`: a multiple of 4096.
  explicit RingSpace(int64_t capacity) : capacity_(capacity) {}

  // Finds room for `bytes`, rounded up to 4096, and returns where it starts, a multiple of 4096.
  // The slab's ticket is the value of next_ticket() before the call. Returns nothing if there is no
  // room now. An empty ring has room for anything up to its capacity.
  std::optional<int64_t> Allocate(int64_t bytes);

  // Gives a ticket back.
  void Free(int64_t ticket);

  int64_t begin(int64_t ticket) const { return begins_.at(ticket); }
  int64_t next_ticket() const { return next_ticket_; }
  int64_t capacity() const { return capacity_; }

 private:
  struct Slot {
    int64_t end;
    int64_t ticket;
  };
  bool Consistent() const;

  int64_t capacity_;
  std::map<int64_t, Slot> slots_;      // by where they begin in the ring
  std::map<int64_t, int64_t> begins_;  // by ticket: where the slot begins
  int64_t next_ticket_ = 0;
  int64_t newest_freed_ = -1;  // the highest ticket that was given back
  int64_t head_ = 0;           // where the newest slab ends
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_RING_SPACE_H_
