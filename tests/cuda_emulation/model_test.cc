// Whole models on the emulated machine: --fast-math, keys and values in host memory, slabs that the CPU computes, calls
// that fail. That the bits are the CPU's: tests/runtime/cuda/model_test.cc.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "tests/cuda_emulation/machine.h"
#include "tests/runtime/cuda/device_model.h"
#include "tests/runtime/edited_checkpoint.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

// --fast-math leaves activations the 8 bits of bf16, or the 11 of f16. The bounds are about twice what was seen, 0.115
// and 0.0077; on a GPU the bits are others.
TEST(EmulatedModelFastMath, LogitsStayNearTheExactOnesAndDoNotDependOnTheRowsOfAPass) {
  const struct {
    const char* model;
    double bound;
  } kModels[] = {{"llama3-rope-bf16-sharded", 0.2}, {"mistral-window-f16", 0.016}};
  for (const auto& [name, bound] : kModels) {
    const TestStore store(name, "", 16 << 10);
    std::vector<int32_t> tokens;
    for (int i = 0; i < 20; ++i) {
      tokens.push_back(static_cast<int32_t>((i * 37 + 5) % store->hyper_parameters().vocab_size));
    }
    RunConfig config;
    config.context = 64;
    TestModel cpu(*store, config);
    const std::vector<float> exact = cpu.Logits(tokens);
    config.fast_math = true;
    std::vector<float> first;
    for (const int64_t chunk : {20, 3, 1}) {  // tensor cores' kernel for many rows, for few, for one
      config.chunk = chunk;
      DeviceModelOf emulated(*store, static_cast<uint64_t>(chunk), 0, config);
      const absl::StatusOr<std::vector<float>> fast = LogitsOf(*emulated.model, tokens);
      ASSERT_TRUE(fast.ok()) << fast.status();
      ASSERT_EQ(fast->size(), exact.size());
      if (first.empty()) first = *fast;
      EXPECT_EQ(std::memcmp(fast->data(), first.data(), first.size() * sizeof(float)), 0) << name << ", " << chunk;
    }
    double most = 0;
    for (size_t i = 0; i < exact.size(); ++i) most = std::max(most, std::abs(double{first[i]} - exact[i]));
    EXPECT_GT(most, 0) << name << ": nothing was rounded";
    EXPECT_LT(most, bound) << name;
  }
}

TEST(EmulatedModelFastMath, AnActivationThatF16DoesNotHoldEndsThePass) {
  const TempDir dir;
  CopyWith("llama-gqa-untied-f32", dir / "model", "model.layers.1.input_layernorm.weight", 1e7f);
  const TestStore store(dir / "model", "f16", 16 << 10);
  RunConfig config;
  config.context = 64;
  for (const bool fast_math : {false, true}) {
    config.fast_math = fast_math;
    DeviceModelOf emulated(*store, 3, 0, config);
    const absl::Status status = LogitsOf(*emulated.model, {1, 2, 3}).status();
    EXPECT_EQ(status.ok(), !fast_math) << status;
    if (fast_math) {
      EXPECT_NE(status.message().find("layer 1 gave numbers that are not finite; activations are beyond what f16 holds"),
                absl::string_view::npos)
          << status;
    }
  }
}

// Half of the slabs in host memory, and all of them: float and quantized weights, activations in two formats; a pass for
// a row, and for several. Nothing of the emulated machine's memory is there when a copy that is not waited for is late.
TEST(EmulatedModelShare, SlabsThatTheCpuComputesGiveTheSameLogits) {
  const struct {
    const char* model;
    const char* recipe;
    int64_t chunk;
    double share;
  } kShares[] = {{"qwen2-bias-bf16", "q8_0", 1, 0.5},
                 {"qwen2-bias-bf16", "", 3, 0.4},
                 {"bard-6.7M", "q4_k_m", 2, 1},
                 {"qwen3-qknorm-bf16", "q4_0", 16, 1}};
  for (const auto& c : kShares) {
    SCOPED_TRACE(testing::Message() << c.model << " " << c.recipe << " " << c.share);
    const TestStore store(c.model, c.recipe, 16 << 10);
    std::vector<int32_t> tokens;
    for (int i = 0; i < static_cast<int>(2 * c.chunk + 2); ++i) {
      tokens.push_back(static_cast<int32_t>((i * 37 + 5) % store->hyper_parameters().vocab_size));
    }
    RunConfig config;
    config.chunk = c.chunk;
    config.context = 128;
    const std::vector<float> want = TestModel(*store, config).Logits(tokens);
    for (const uint64_t seed : {1, 2}) {
      DeviceModelOf emulated(*store, seed, 60 << 10, config, KvPlace::kDevice, c.share);
      const absl::StatusOr<std::vector<float>> got = LogitsOf(*emulated.model, tokens);
      ASSERT_TRUE(got.ok()) << got.status();
      EXPECT_TRUE(*got == want);
      EXPECT_GT(emulated.model->host_product_counters().slabs, 0);
    }
  }
}

// Whatever call fails, whenever: an error that says what was being done and what it means, and everything ends.
TEST(EmulatedModelErrors, AFailedKernelOrALostDeviceEndsARun) {
  const struct {
    int count;
    cudaError_t error;
    const char* text;
  } kFailures[] = {{1, cudaErrorLaunchFailure, "(unspecified launch failure); a kernel failed"},
                   {7, cudaErrorECCUncorrectable, "(uncorrectable ECC error encountered); the device is lost"},
                   {60, cudaErrorIllegalAddress, "(an illegal memory access was encountered); a kernel failed"}};

  const TestStore store("qwen2-bias-bf16", "q8_0", 16 << 10);
  RunConfig config;
  config.chunk = 4;
  config.context = 64;
  for (const char* call : {"cudaMemcpyAsync", "cudaLaunchKernel", "cudaStreamWaitEvent", "cudaEventRecord",
                           "cudaEventSynchronize", "cudaEventCreateWithFlags"}) {
    for (const auto& [count, error, text] : kFailures) {
      SCOPED_TRACE(testing::Message() << call << " " << count);
      DeviceModelOf emulated(*store, static_cast<uint64_t>(count), 0, config);
      cuda_emulation::FailCall(call, count, error);
      const absl::Status status = LogitsOf(*emulated.model, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}).status();
      const bool never_came = std::string(call) == "cudaEventCreateWithFlags" && status.ok();
      if (!never_came) {
        EXPECT_FALSE(status.ok());
        EXPECT_NE(status.message().find("CUDA: "), absl::string_view::npos) << status;
        EXPECT_NE(status.message().find(text), absl::string_view::npos) << status;
      }
    }
  }
}

// Keys and values in host memory, their pages on the device for two layers at a time: prompts over two pages, in passes
// that end inside one, with a window of 16 tokens and without; no slab stays, and all.
TEST(EmulatedModelKv, GivesTheLogitsOfTheCpuFromHostMemory) {
  for (const auto& [name, kv, more_vram] : {std::tuple("mistral-window-f16", KvType::kQ8_0, 0),
                                            std::tuple("qwen2-bias-bf16", KvType::kF16, 1 << 30)}) {
    const TestStore store(name, "", 16 << 10);
    std::vector<int32_t> tokens;
    for (int i = 0; i < 75; ++i) tokens.push_back((i * 37 + 5) % 97);
    RunConfig config;
    config.chunk = 50;
    config.kv = kv;
    config.context = 128;
    const std::vector<float> want = TestModel(*store, config).Logits(tokens);
    DeviceModelOf emulated(*store, 11, more_vram, config, KvPlace::kHost);
    ASSERT_TRUE(emulated.model->plan().KvInHostMemory());
    const absl::StatusOr<std::vector<float>> got = LogitsOf(*emulated.model, tokens);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(*got, want) << name;
  }
}

TEST(EmulatedModelErrors, SoDoesOneWhereTheCpuComputes) {
  const TestStore store("qwen2-bias-bf16", "q8_0", 16 << 10);
  RunConfig config;
  config.chunk = 4;
  config.context = 64;
  for (const char* call : {"cudaMemcpyAsync", "cudaLaunchKernel", "cudaStreamWaitEvent", "cudaEventRecord",
                           "cudaEventSynchronize"}) {
    for (const int count : {1, 8, 33}) {
      SCOPED_TRACE(testing::Message() << call << " " << count);
      DeviceModelOf emulated(*store, static_cast<uint64_t>(count), 0, config, KvPlace::kDevice, 1);
      ASSERT_TRUE(LogitsOf(*emulated.model, {1, 2, 3, 4}).ok()) << "the first walk";
      cuda_emulation::FailCall(call, count, cudaErrorIllegalAddress);
      const absl::Status status = LogitsOf(*emulated.model, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}).status();
      EXPECT_FALSE(status.ok());
      EXPECT_NE(status.message().find("(an illegal memory access was encountered); a kernel failed"),
                absl::string_view::npos)
          << status;
    }
  }
}

}  // namespace
}  // namespace sluice
