// The ring in device memory: the place and the state of each slab that does not stay, and which
// kernels may still read its bytes.
#ifndef SLUICE_PREFETCH_DEVICE_RING_H_
#define SLUICE_PREFETCH_DEVICE_RING_H_

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "prefetch/event_pool.h"
#include "prefetch/ring_space.h"

namespace sluice {

// Where a slot of the ring stands.
//
//   kFree -> kCopying -> kLeased -> kFree
//
// kFree -> kCopying is the copying thread's move, as soon as the ring has room; the copy itself
// starts once what computed from those bytes before is done. Leasing and freeing are the compute
// thread's: a lease may be had while the copy still runs (the compute stream waits for it), and the
// room of a dropped lease may be given to the next slab while kernels still read it (the copy
// stream waits for them).
enum class DeviceSlot : uint8_t { kFree, kCopying, kLeased };

// Makes the move; asserts that it is one of those above.
void MoveDeviceSlot(DeviceSlot* slot, DeviceSlot to);

// Counts bytes only; the memory is its owner's. Not thread-safe. Slots are known by the tickets of
// RingSpace.
class DeviceRing {
 public:
  // `capacity`: a multiple of 4096.
  explicit DeviceRing(int64_t capacity) : space_(capacity) {}

  struct Room {
    int64_t ticket;
    int64_t begin;
    std::vector<EventPool::Handle> readers;  // ends of the work that reads these bytes
  };
  // Finds room for `bytes`, where there is some; its slot is kCopying. What is copied there must
  // wait for the readers, which the ring forgets.
  std::optional<Room> Allocate(int64_t bytes);
  // kCopying -> kLeased.
  void Lease(int64_t ticket);
  // kLeased -> kFree; the bytes are read until `read`.
  void Release(int64_t ticket, EventPool::Handle read);

  int64_t capacity() const { return space_.capacity(); }

 private:
  // Bytes that work on the compute stream may still read, until `read`.
  struct ReadRange {
    int64_t begin;
    int64_t end;
    EventPool::Handle read;
  };
  struct Slot {
    DeviceSlot state = DeviceSlot::kFree;
    int64_t bytes = 0;  // a multiple of 4096
  };

  RingSpace space_;
  std::map<int64_t, Slot> slots_;  // of the space's tickets
  std::vector<ReadRange> being_read_;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_DEVICE_RING_H_
