// CUDA's error codes as absl::Status, with what was being done.
#ifndef SLUICE_KERNELS_CUDA_CUDA_STATUS_H_
#define SLUICE_KERNELS_CUDA_CUDA_STATUS_H_

#include <cuda_runtime_api.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice::cuda {

// OK for cudaSuccess. `doing` continues "CUDA: " and says what failed: "copying slab 7".
//
//   ResourceExhausted   out of memory
//   InvalidArgument     shapes that need more blocks or shared memory than a launch can have
//   Unavailable         the device is lost or was reset, an uncorrectable memory error, a driver
//                       that is missing or too old, a device that others have taken
//   FailedPrecondition  a device that this build has no machine code for
//   Internal            a kernel's or this program's fault: illegal address, wrong argument, ...
//
// A lost device and an illegal address do not go away: every later call on the device fails.
absl::Status CudaStatus(cudaError_t error, absl::string_view doing);

// Unavailable: the driver, made for CUDA version `supported`, cannot run what this was built with.
absl::Status DriverTooOld(int supported);

// "13.0" of 13000, as CUDART_VERSION and drivers count.
std::string CudaVersion(int version);

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_CUDA_STATUS_H_
