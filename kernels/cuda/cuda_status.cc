// Sorts CUDA's errors by what the caller can do about them.
#include "kernels/cuda/cuda_status.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace sluice::cuda {

std::string CudaVersion(int version) {
  return absl::StrCat(version / 1000, ".", version % 1000 / 10);
}

absl::Status DriverTooOld(int supported) {
  // A runtime works with every driver made for its major version. On Linux those begin with
  constexpr int kMajor = CUDART_VERSION / 1000;
  constexpr int kFirstDriver = kMajor == 12 ? 525 : kMajor == 13 ? 580 : 0;
  const std::string driver =
      kFirstDriver > 0 ? absl::StrCat(kFirstDriver, " or newer, for CUDA ") : "CUDA ";
  return absl::UnavailableError(absl::StrCat("CUDA: driver too old, needs ", driver, kMajor,
                                             ".0; this one is for CUDA ", CudaVersion(supported)));
}

absl::Status CudaStatus(cudaError_t error, absl::string_view doing) {
  if (error == cudaSuccess) return absl::OkStatus();
  const std::string message = absl::StrCat("CUDA: ", doing, ": ", cudaGetErrorName(error), " (",
                                           cudaGetErrorString(error), ")");
  switch (error) {
    case cudaErrorMemoryAllocation:
      return absl::ResourceExhaustedError(message);
    case cudaErrorInvalidConfiguration:
      return absl::InvalidArgumentError(absl::StrCat(
          "CUDA: ", doing, ": these shapes need more blocks or shared memory than a launch has"));
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorUnknown:
      return absl::UnavailableError(absl::StrCat(
          message, "; this process has lost the device; look in dmesg for an Xid of the driver"));
    case cudaErrorIllegalAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
      return absl::InternalError(absl::StrCat(
          message, "; a kernel failed, and this process cannot use the device any more"));
    case cudaErrorDevicesUnavailable:
    case cudaErrorDeviceAlreadyInUse:
      return absl::UnavailableError(
          absl::StrCat(message, "; nvidia-smi shows which programs use it, and its compute mode"));
    case cudaErrorUnsupportedPtxVersion:
      return absl::UnavailableError(
          absl::StrCat(message, "; driver too old for this build's PTX, needs CUDA ",
                       CudaVersion(CUDART_VERSION)));
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorJitCompilerNotFound:
    case cudaErrorJitCompilationDisabled:
      return absl::FailedPreconditionError(
          absl::StrCat(message,
                       "; this build has no machine code for the device, build it with "
                       "CMAKE_CUDA_ARCHITECTURES=native"));
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
      return absl::UnavailableError(message);
    default:
      return absl::InternalError(message);
  }
}

}  // namespace sluice::cuda
