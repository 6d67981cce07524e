// Slots are used in turn; an event a slot keeps the host from overwriting what is still to be
// copied or read.
#include "kernels/cuda/upload_ring.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "kernels/base/status_macros.h"

namespace sluice::cuda {
namespace {

constexpr int64_t kSmallestSlot = 4096;

}  // namespace

absl::StatusOr<UploadRing> UploadRing::Create(const Stream* stream, DeviceAllocator* allocator) {
  UploadRing ring(stream, allocator);
  for (int i = 0; i < kUploadBuffers; ++i) {
    SLUICE_ASSIGN_OR_RETURN(Event used, Event::Create());
    ring.slots_.push_back({.pinned = {}, .device = {}, .used = std::move(used)});
  }
  return ring;
}

absl::Status UploadRing::Resize(Slot& slot, int64_t bytes) {
  SLUICE_ASSIGN_OR_RETURN(slot.pinned, PinnedBuffer::Create(bytes, "positions and page tables"));
  SLUICE_ASSIGN_OR_RETURN(slot.device,
                          DeviceBuffer::Create(allocator_, bytes, "positions and page tables"));
  return absl::OkStatus();
}

absl::Status UploadRing::Reserve(int64_t bytes) {
  for (Slot& slot : slots_) {
    if (slot.device.bytes() < bytes) SLUICE_RETURN_IF_ERROR(Resize(slot, bytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<UploadRing::Place> UploadRing::Begin(int64_t bytes) {
  Slot& slot = slots_[next_];
  SLUICE_RETURN_IF_ERROR(slot.used.Synchronize());
  if (slot.device.bytes() < bytes) {  // of both, the one that is grown last
    const auto grown =
        static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max(bytes, kSmallestSlot))));
    SLUICE_RETURN_IF_ERROR(Resize(slot, grown));
  }
  slot.bytes = bytes;
  return Place{slot.pinned.data(), slot.device.data()};
}

absl::Status UploadRing::Send() {
  const Slot& slot = slots_[next_];
  return stream_->CopyToDevice(slot.device.data(), slot.pinned.data(), slot.bytes);
}

absl::Status UploadRing::End() {
  const Slot& slot = slots_[next_];
  next_ = (next_ + 1) % kUploadBuffers;
  return stream_->Record(slot.used);
}

}  // namespace sluice::cuda
