// The bytes of a ring: room for slabs in the order of the walk, each contiguous, freed in any
// order.
#ifndef SLUICE_PREFETCH_RING_SPACE_H_
#define SLUICE_PREFETCH_RING_SPACE_H_

#include <cstdint>
#include <map>
#include <optional>

namespace sluice {

// Counts bytes only; the memory is its owner's. Not thread-safe. Slabs are known by tickets 0, 1,
// 2, ... in the order of their allocation.
//
// Room is looked for from the end of the newest slab on, around the end of the ring, up to the
// oldest slab; slabs that are freed in order make it a plain ring. A slab that stays while newer
// ones are freed is passed over: the ring goes on behind it. (Frames of one size would do so, too,
// but waste what a slab is smaller than its frame; slabs of a second ring for those that stay would
// have to be known when they are read.)
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
  std::map<int64_t, Slot> slots_;      // by where they begin
  std::map<int64_t, int64_t> begins_;  // of slots, by ticket
  int64_t next_ticket_ = 0;
  int64_t newest_freed_ = -1;  // the highest ticket that was given up
  int64_t head_ = 0;           // where the newest slab ends
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_RING_SPACE_H_
