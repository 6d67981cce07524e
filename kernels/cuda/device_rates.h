// Which CUDA devices this machine has, how fast pinned host memory is copied to them, and how fast
// their own is.
#ifndef SLUICE_KERNELS_CUDA_DEVICE_RATES_H_
#define SLUICE_KERNELS_CUDA_DEVICE_RATES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice {

struct CudaDevice {
  std::string name;       // "NVIDIA H200"
  int compute_major = 0;  // compute capability
  int compute_minor = 0;
  int64_t memory_bytes = 0;
  double copy_bytes_per_s = 0;    // pinned host memory to the device, pieces of a slab's size
  double memory_bytes_per_s = 0;  // its own memory, read and written by a copy within it
};

// Copies for about `seconds` to each device, and as long within it. Empty where there is no device,
// and in builds that found no CUDA Toolkit. Unavailable: the driver is older than the toolkit that
// this was built with (both versions), or a call failed (which one, on which device).
absl::StatusOr<std::vector<CudaDevice>> MeasureCudaDevices(double seconds);

}  // namespace sluice

#endif  // SLUICE_KERNELS_CUDA_DEVICE_RATES_H_
