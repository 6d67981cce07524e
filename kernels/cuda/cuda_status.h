// CUDA's error codes as absl::Status, with what was being done.
#ifndef SLUICE_KERNELS_CUDA_CUDA_STATUS_H_
#define SLUICE_KERNELS_CUDA_CUDA_STATUS_H_

#include <cuda_runtime_api.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice::cuda {

// OK for cudaSuccess. `doing` continues "CUDA: " and says what failed: "copying slab 7".
//
//   ResourceExhausted   out of memory
//   InvalidArgument     shapes that need more blocks or shared memory than a launch can have
//   Unavailable         the device is lost or was reset, an uncorrectable memory error, a driver
//                       that is missing or too old, a device that others have taken
//   Internal            a kernel's or this program's fault: illegal address, wrong argument, ...
//
// A lost device and an illegal address do not go away: every later call on the device fails.
absl::Status CudaStatus(cudaError_t error, absl::string_view doing);

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_CUDA_STATUS_H_
