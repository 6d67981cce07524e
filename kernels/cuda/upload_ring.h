// Brings small arrays of the host (positions, page tables) to the device, in order with a stream's
// kernels.
#ifndef SLUICE_KERNELS_CUDA_UPLOAD_RING_H_
#define SLUICE_KERNELS_CUDA_UPLOAD_RING_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/memory.h"
#include "kernels/ops.h"

namespace sluice::cuda {

// A few slots, each a pinned buffer and one of the device. A slot goes round:
//
//   free -> Begin (the host fills it) -> Send (its copy is queued) -> End (its readers are queued)
//        -> free again once the event that End recorded has fired; Begin waits for that.
//
// Slots have what Reserve gave them, and grow to what was asked for. One upload at a time; for one
// thread.
class UploadRing {
 public:
  struct Place {
    std::byte* pinned;
    std::byte* device;
  };

  // `stream` and `allocator` must outlive it.
  static absl::StatusOr<UploadRing> Create(const Stream* stream, DeviceAllocator* allocator);

  // Room for `bytes` bytes in each slot, before the first upload. ResourceExhausted.
  absl::Status Reserve(int64_t bytes);

  // Room for `bytes` bytes, on 256 on both sides. The host may write until Send.
  absl::StatusOr<Place> Begin(int64_t bytes);
  absl::Status Send();
  absl::Status End();

 private:
  struct Slot {
    PinnedBuffer pinned;
    DeviceBuffer device;
    Event used;
    int64_t bytes = 0;
  };

  // Makes a free slot one of `bytes` bytes.
  absl::Status Resize(Slot& slot, int64_t bytes);

  UploadRing(const Stream* stream, DeviceAllocator* allocator)
      : stream_(stream), allocator_(allocator) {}

  const Stream* stream_;
  DeviceAllocator* allocator_;
  std::vector<Slot> slots_;
  int next_ = 0;
};

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_UPLOAD_RING_H_
