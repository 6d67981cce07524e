// What CUDA's errors come to, in the runtime's own words: one line that says what to do. Needs no
// device.
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/cuda/cuda_status.h"

namespace sluice::cuda {
namespace {

using absl::StatusCode;

constexpr char kLost[] =
    "; this process has lost the device; look in dmesg for an Xid of the driver";
constexpr char kKernel[] = "; a kernel failed, and this process cannot use the device any more";
constexpr char kOthers[] = "; nvidia-smi shows which programs use it, and its compute mode";
constexpr char kNoCode[] =
    "; this build has no machine code for the device, build it with "
    "CMAKE_CUDA_ARCHITECTURES=native";

TEST(CudaStatus, IsOneLineThatSaysWhatCanBeDone) {
  EXPECT_TRUE(CudaStatus(cudaSuccess, "nothing").ok());
  const struct {
    cudaError_t error;
    StatusCode code;
    std::string text;
  } kCases[] = {
      {cudaErrorMemoryAllocation, StatusCode::kResourceExhausted,
       "cudaErrorMemoryAllocation (out of memory)"},
      {cudaErrorInvalidConfiguration, StatusCode::kInvalidArgument,
       "these shapes need more blocks or shared memory than a launch has"},
      {cudaErrorECCUncorrectable, StatusCode::kUnavailable,
       std::string("cudaErrorECCUncorrectable (uncorrectable ECC error encountered)") + kLost},
      {cudaErrorNvlinkUncorrectable, StatusCode::kUnavailable,
       std::string("cudaErrorNvlinkUncorrectable (uncorrectable NVLink error detected during the "
                   "execution)") +
           kLost},
      {cudaErrorLaunchTimeout, StatusCode::kUnavailable,
       std::string("cudaErrorLaunchTimeout (the launch timed out and was terminated)") + kLost},
      {cudaErrorHardwareStackError, StatusCode::kUnavailable,
       std::string("cudaErrorHardwareStackError (hardware stack error)") + kLost},
      {cudaErrorUnknown, StatusCode::kUnavailable,
       std::string("cudaErrorUnknown (unknown error)") + kLost},
      {cudaErrorIllegalAddress, StatusCode::kInternal,
       std::string("cudaErrorIllegalAddress (an illegal memory access was encountered)") + kKernel},
      {cudaErrorIllegalInstruction, StatusCode::kInternal,
       std::string("cudaErrorIllegalInstruction (an illegal instruction was encountered)") +
           kKernel},
      {cudaErrorMisalignedAddress, StatusCode::kInternal,
       std::string("cudaErrorMisalignedAddress (misaligned address)") + kKernel},
      {cudaErrorInvalidAddressSpace, StatusCode::kInternal,
       std::string("cudaErrorInvalidAddressSpace (operation not supported on global/shared address "
                   "space)") +
           kKernel},
      {cudaErrorInvalidPc, StatusCode::kInternal,
       std::string("cudaErrorInvalidPc (invalid program counter)") + kKernel},
      {cudaErrorLaunchFailure, StatusCode::kInternal,
       std::string("cudaErrorLaunchFailure (unspecified launch failure)") + kKernel},
      {cudaErrorDevicesUnavailable, StatusCode::kUnavailable,
       std::string(
           "cudaErrorDevicesUnavailable (CUDA-capable device(s) is/are busy or unavailable)") +
           kOthers},
      {cudaErrorDeviceAlreadyInUse, StatusCode::kUnavailable,
       std::string("cudaErrorDeviceAlreadyInUse (exclusive-thread device already in use by a "
                   "different thread)") +
           kOthers},
      {cudaErrorUnsupportedPtxVersion, StatusCode::kUnavailable,
       "cudaErrorUnsupportedPtxVersion (the provided PTX was compiled with an unsupported "
       "toolchain.); driver too "
       "old for this build's PTX, needs CUDA " +
           CudaVersion(CUDART_VERSION)},
      {cudaErrorNoKernelImageForDevice, StatusCode::kFailedPrecondition,
       std::string("cudaErrorNoKernelImageForDevice (no kernel image is available for execution on "
                   "the device)") +
           kNoCode},
      {cudaErrorJitCompilerNotFound, StatusCode::kFailedPrecondition,
       std::string("cudaErrorJitCompilerNotFound (PTX JIT compiler library not found)") + kNoCode},
      {cudaErrorJitCompilationDisabled, StatusCode::kFailedPrecondition,
       std::string("cudaErrorJitCompilationDisabled (PTX JIT compilation was disabled)") + kNoCode},
      {cudaErrorNoDevice, StatusCode::kUnavailable,
       "cudaErrorNoDevice (no CUDA-capable device is detected)"},
      {cudaErrorInvalidValue, StatusCode::kInternal, "cudaErrorInvalidValue (invalid argument)"},
  };
  for (const auto& c : kCases) {
    const absl::Status status = CudaStatus(c.error, "copying slab 7");
    EXPECT_EQ(status.code(), c.code) << c.error;
    EXPECT_EQ(status.message(), "CUDA: copying slab 7: " + c.text);
  }
}

TEST(CudaStatus, NamesTheDriverThatIsNeeded) {
  const absl::Status status = DriverTooOld(11080);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  const std::string major = std::to_string(CUDART_VERSION / 1000);
  EXPECT_THAT(std::string(status.message()),
              testing::MatchesRegex("CUDA: driver too old, needs ([0-9]+ or newer, for )?CUDA " +
                                    major + "\\.0; this one is for CUDA 11\\.8"));
}

}  // namespace
}  // namespace sluice::cuda
