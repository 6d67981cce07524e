// Builds that found no CUDA Toolkit see no device.
#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_compute.h"
#include "kernels/cuda/device_rates.h"

namespace sluice {

absl::StatusOr<std::vector<CudaDevice>> MeasureCudaDevices(double /*seconds*/) {
  return std::vector<CudaDevice>();
}

absl::StatusOr<std::unique_ptr<CudaCompute>> OpenCudaDevice(int ordinal) {
  return absl::NotFoundError(absl::StrCat("CUDA: no device ", ordinal,
                                          ": this sluice was built without the CUDA Toolkit"));
}

}  // namespace sluice
