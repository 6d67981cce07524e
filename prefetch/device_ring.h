// The ring in device memory: the place and the state of each slab that is not resident there, and
// the kernels that may still read its bytes.
#ifndef SLUICE_PREFETCH_DEVICE_RING_H_
#define SLUICE_PREFETCH_DEVICE_RING_H_

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "prefetch/event_pool.h"
#include "prefetch/ring_space.h"

namespace sluice {

// The states of a slot of the ring:
//
//   kFree -> kCopying -> kLeased -> kFree
//
// The copying thread moves a slot to kCopying as soon as the ring has room. The copy itself starts
// once the kernels are done that read the slot's former bytes. The compute thread leases and frees.
// It may lease a slot whose copy still runs, as the compute stream waits for the copy. It may free
// a slot that kernels still read, as the copy stream waits for those kernels before it writes the
// next slab there.
enum class DeviceSlot : uint8_t { kFree, kCopying, kLeased };

// Makes the move; asserts that the drawing above has it.
void MoveDeviceSlot(DeviceSlot* slot, DeviceSlot to);

// Does the bookkeeping; the memory is its owner's. Slots are known by the tickets of RingSpace. Not
// thread-safe.
class DeviceRing {
 public:
  // `capacity`: a multiple of 4096.
  explicit DeviceRing(int64_t capacity) : space_(capacity) {}

  struct Room {
    int64_t ticket;
    int64_t begin;
    std::vector<EventPool::Handle> readers;  // the ends of the work that reads these bytes
  };
  // Finds room for `bytes` and moves its slot to kCopying; returns nothing if there is no room now.
  // The caller's copy must wait for the `readers`, which the ring then forgets.
  std::optional<Room> Allocate(int64_t bytes);
  // Moves the slot kCopying -> kLeased.
  void Lease(int64_t ticket);
  // Moves the slot kLeased -> kFree. Work on the device reads its bytes until `read`.
  void Release(int64_t ticket, EventPool::Handle read);

  int64_t capacity() const { return space_.capacity(); }

 private:
  // A range that work on the compute stream may still read, until the event `read`.
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
  std::map<int64_t, Slot> slots_;  // by the tickets of space_
  std::vector<ReadRange> being_read_;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_DEVICE_RING_H_
