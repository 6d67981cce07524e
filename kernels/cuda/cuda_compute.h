// A CUDA device behind the interfaces of kernels/device.h and kernels/ops.h; nothing of CUDA shows.
#ifndef SLUICE_KERNELS_CUDA_CUDA_COMPUTE_H_
#define SLUICE_KERNELS_CUDA_CUDA_COMPUTE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "kernels/ops.h"

namespace sluice {

// What computes on one device: its memory, the stream that work is queued on, and the operations.
class CudaCompute {
 public:
  virtual ~CudaCompute() = default;
  virtual Device* device() = 0;
  virtual Stream* stream() = 0;
  virtual Ops* ops() = 0;                       // queue on stream()
  virtual const std::string& name() const = 0;  // "NVIDIA H200"
  virtual int compute_capability() const = 0;   // 90 is 9.0
  // FailedPrecondition, naming the device's compute capability: ops() have no rounded activations
  // (--fast-math).
  virtual absl::Status CheckRoundsActivations() const = 0;
  // Of the device when it was opened; free_bytes after the context was made.
  virtual int64_t total_bytes() const = 0;
  virtual int64_t free_bytes() const = 0;
  // Device memory that the context takes: by NVML, or else what is gone from the device after it
  // was made, at most kMostContextBytes, as others may use it too.
  virtual int64_t context_bytes() const = 0;
  // That and the states of attention's chunks, as many as there may be; the plan knows of the
  // operations' other buffers (UploadBufferBytes).
  virtual int64_t overhead_bytes() const = 0;
  // What this process holds on the device now, by NVML. None where it cannot be had.
  virtual std::optional<int64_t> TakenBytes() const = 0;

  static constexpr int64_t kMostContextBytes = int64_t{600} << 20;
};

// Opens device `ordinal`. NotFound: there is no such device, no driver, or no CUDA in this build.
// FailedPrecondition: it is too old. Unavailable, ResourceExhausted: it is lost, taken, or has no
// memory left, or the driver is too old.
absl::StatusOr<std::unique_ptr<CudaCompute>> OpenCudaDevice(int ordinal);

}  // namespace sluice

#endif  // SLUICE_KERNELS_CUDA_CUDA_COMPUTE_H_
