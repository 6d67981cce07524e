// Whole models on the emulated machine, whose calls fail. What they compute:
// tests/runtime/cuda/model_test.cc.
#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "tests/cuda_emulation/machine.h"
#include "tests/runtime/cuda/device_model.h"

namespace sluice {
namespace {

// Whatever call fails, whenever: an error that says what was being done and what it means, and
// everything ends.
TEST(EmulatedModelErrors, AFailedKernelOrALostDeviceEndsARun) {
  const struct {
    int count;
    cudaError_t error;
    const char* text;
  } kFailures[] = {
      {1, cudaErrorLaunchFailure, "(unspecified launch failure); a kernel failed"},
      {7, cudaErrorECCUncorrectable,
       "(uncorrectable ECC error encountered); this process has lost the device"},
      {60, cudaErrorIllegalAddress, "(an illegal memory access was encountered); a kernel failed"}};

  const TestStore store("qwen2-bias-bf16", "q8_0", 16 << 10);
  RunConfig config;
  config.chunk = 4;
  config.context = 64;
  for (const char* call : {"cudaMemcpyAsync", "cudaLaunchKernel", "cudaStreamWaitEvent",
                           "cudaEventRecord", "cudaEventSynchronize", "cudaEventCreateWithFlags"}) {
    for (const auto& [count, error, text] : kFailures) {
      SCOPED_TRACE(testing::Message() << call << " " << count);
      DeviceModelOf device(*store, static_cast<uint64_t>(count), 0, config);
      cuda_emulation::FailCall(call, count, error);
      const absl::Status status = LogitsOf(*device.model, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}).status();
      const bool never_came = std::string(call) == "cudaEventCreateWithFlags" && status.ok();
      if (!never_came) {
        EXPECT_FALSE(status.ok());
        EXPECT_NE(status.message().find("CUDA: "), absl::string_view::npos) << status;
        EXPECT_NE(status.message().find(text), absl::string_view::npos) << status;
      }
    }
  }
}

TEST(EmulatedModelErrors, SoDoesOneWhereTheCpuComputes) {
  const TestStore store("qwen2-bias-bf16", "q8_0", 16 << 10);
  RunConfig config;
  config.chunk = 4;
  config.context = 64;
  for (const char* call : {"cudaMemcpyAsync", "cudaLaunchKernel", "cudaStreamWaitEvent",
                           "cudaEventRecord", "cudaEventSynchronize"}) {
    for (const int count : {1, 8, 33}) {
      SCOPED_TRACE(testing::Message() << call << " " << count);
      DeviceModelOf device(*store, static_cast<uint64_t>(count), 0, config, KvPlace::kDevice, 1);
      ASSERT_TRUE(LogitsOf(*device.model, {1, 2, 3, 4}).ok()) << "the first walk";
      cuda_emulation::FailCall(call, count, cudaErrorIllegalAddress);
      const absl::Status status = LogitsOf(*device.model, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}).status();
      EXPECT_FALSE(status.ok());
      EXPECT_NE(
          status.message().find("(an illegal memory access was encountered); a kernel failed"),
          absl::string_view::npos)
          << status;
    }
  }
}

}  // namespace
}  // namespace sluice
