// A device of compute capability 7.5 times a product when it is opened.
#include "kernels/cuda/mma_choice.h"

#include "gtest/gtest.h"
#include "kernels/cuda/cuda_compute.h"
#include "tests/cuda_emulation/machine.h"

namespace sluice::cuda {
namespace {

TEST(MmaChoice, IsTimedOnceOnTuringAloneAndLeavesNothingBehind) {
  for (const bool turing : {true, false}) {
    const cuda_emulation::MachineOptions machine = {.compute_major = turing ? 7 : 8,
                                                    .compute_minor = turing ? 5 : 6};
    {
      cuda_emulation::Reset(machine);
      const auto compute = OpenCudaDevice(0);
      ASSERT_TRUE(compute.ok()) << compute.status();
      EXPECT_EQ(cuda_emulation::DeviceBytes(), 0);
    }
    // Its kernels are the only ones of opening a device.
    cuda_emulation::Reset(machine);
    cuda_emulation::FailCall("cudaLaunchKernel", 1, cudaErrorLaunchFailure);
    EXPECT_EQ(OpenCudaDevice(0).ok(), !turing);
    EXPECT_EQ(cuda_emulation::Faults(), "");
    EXPECT_EQ(cuda_emulation::LiveObjects(), 0);
  }
  cuda_emulation::Reset({});
}

}  // namespace
}  // namespace sluice::cuda
