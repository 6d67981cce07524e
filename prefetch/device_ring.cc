// Checks moves of slots and finds the work that a copy must wait for.
#include "prefetch/device_ring.h"

#include <utility>

#include "absl/base/macros.h"
#include "prefetch/io/host_buffer.h"

namespace sluice {
namespace {

bool MayMoveOnDevice(DeviceSlot from, DeviceSlot to) {
  switch (from) {
    case DeviceSlot::kFree:
      return to == DeviceSlot::kCopying;
    case DeviceSlot::kCopying:
      return to == DeviceSlot::kLeased;
    case DeviceSlot::kLeased:
      return to == DeviceSlot::kFree;
  }
  return false;
}

}  // namespace

void MoveDeviceSlot(DeviceSlot* slot, DeviceSlot to) {
  ABSL_ASSERT(MayMoveOnDevice(*slot, to));
  *slot = to;
}

std::optional<DeviceRing::Room> DeviceRing::Allocate(int64_t bytes) {
  Room room = {.ticket = space_.next_ticket(), .begin = 0, .readers = {}};
  const std::optional<int64_t> place = space_.Allocate(bytes);
  if (!place.has_value()) return std::nullopt;
  room.begin = *place;
  Slot& slot = slots_[room.ticket];
  MoveDeviceSlot(&slot.state, DeviceSlot::kCopying);
  slot.bytes = RoundUp(bytes, kReadAlignment);
  const int64_t begin = room.begin;
  const int64_t end = begin + slot.bytes;
  std::vector<ReadRange> left;
  for (ReadRange& range : being_read_) {
    if (range.end <= begin || range.begin >= end) {
      left.push_back(std::move(range));
      continue;
    }
    if (range.begin < begin) left.push_back({range.begin, begin, range.read});
    if (range.end > end) left.push_back({end, range.end, range.read});
    room.readers.push_back(std::move(range.read));
  }
  being_read_ = std::move(left);
  return room;
}

void DeviceRing::Lease(int64_t ticket) {
  MoveDeviceSlot(&slots_.at(ticket).state, DeviceSlot::kLeased);
}

void DeviceRing::Release(int64_t ticket, EventPool::Handle read) {
  Slot& slot = slots_.at(ticket);
  MoveDeviceSlot(&slot.state, DeviceSlot::kFree);
  const int64_t begin = space_.begin(ticket);
  being_read_.push_back({begin, begin + slot.bytes, std::move(read)});
  space_.Free(ticket);
  slots_.erase(ticket);
}

}  // namespace sluice
