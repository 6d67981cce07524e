// Whole models through the pipeline of a device, on the emulated machine: logits and tokens in the bits of the CPU,
// which are held against Hugging Face transformers elsewhere (tests/runtime/golden_model_test.cc).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/cuda_compute.h"
#include "runtime/compute_place.h"
#include "runtime/generator.h"
#include "tests/cuda_emulation/machine.h"
#include "tests/runtime/edited_checkpoint.h"
#include "tests/runtime/model_harness.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

// A model on the emulated device, with so much of its memory beyond the least that it needs; the CPU computes such a share
// of the slabs in host memory.
struct EmulatedModelOf {
  EmulatedModelOf(const LayerStore& store, uint64_t seed, int64_t more_vram, const RunConfig& config,
                  KvPlace kv_place = KvPlace::kDevice, double cpu_share = 0)
      : pool(2), cpu_ops(*MakeCpuOps(SupportedIsas().back(), &pool)) {
    cuda_emulation::Reset({.seed = seed});
    compute = *OpenCudaDevice(0);
    place = *MakeDevicePlace(compute->device(), compute->stream(), compute->ops(), cpu_ops.get());
    PlanRequest request;
    request.context_tokens = config.context;
    request.pass_rows = config.chunk;
    request.logits_of_all_rows = config.all_logits;
    request.k_type = request.v_type = config.kv;
    request.bytes_in_flight = 1;  // a ring of a few slabs
    request.max_ram_bytes = int64_t{1} << 33;
    request.fast_math = config.fast_math;
    request.device = DeviceBudget{.max_bytes = int64_t{1} << 33,
                                  .scratch_bytes = compute->overhead_bytes(),
                                  .kv_place = kv_place};
    request.device->max_bytes = PlanMemory(store, request)->device->minimum_bytes + more_vram;
    if (cpu_share > 0) {
      request.host_share.emplace().fraction = cpu_share;
      request.device->max_bytes +=
          SizeHostProducts(store.manifest(), config.chunk, config.chunk).product_bytes;
    }
    const auto plan = PlanMemory(store, request);
    EXPECT_TRUE(plan.ok()) << plan.status();
    auto made = Model::Create(store, *plan, place.get(), {.io = {.kind = IoKind::kThreads}});
    EXPECT_TRUE(made.ok()) << made.status();
    model = *std::move(made);
  }
  ~EmulatedModelOf() {
    model.reset();
    place.reset();
    compute.reset();
    EXPECT_EQ(cuda_emulation::Faults(), "");
    EXPECT_EQ(cuda_emulation::LiveObjects(), 0);
  }

  ThreadPool pool;
  std::unique_ptr<Ops> cpu_ops;
  std::unique_ptr<CudaCompute> compute;
  std::unique_ptr<ComputePlace> place;
  std::unique_ptr<Model> model;
};

struct ModelCase {
  const char* model;
  const char* recipe;  // "": the checkpoint's own encodings
  KvType kv;
  int64_t chunk;      // rows a pass: up to 16 dp4a computes, then tensor cores
  int64_t more_vram;  // beyond the least: so much of the slabs stays
};
// Every kind of layer, each type of KV cache, prompts in one pass and in several.
constexpr ModelCase kCases[] = {
    {"llama-gqa-untied-f32", "", KvType::kF32, 512, 0},
    {"llama3-rope-bf16-sharded", "", KvType::kF16, 23, 100 << 10},
    {"mistral-window-f16", "", KvType::kQ8_0, 512, 1 << 30},
    {"qwen2-bias-bf16", "q8_0", KvType::kF16, 17, 0},
    {"qwen3-qknorm-bf16", "", KvType::kF32, 9, 60 << 10},
    {"llama-linear-rope-f32", "q4_0", KvType::kF16, 512, 0},
    {"qwen2-yarn-bf16", "mxfp4", KvType::kF16, 512, 1 << 30},
    {"bard-6.7M", "q4_k_m", KvType::kQ8_0, 17, 1 << 20},
    {"bard-6.7M-gguf/bard-q2_k.gguf", "", KvType::kF16, 17, 1 << 19},
};

std::vector<int32_t> Greedy(Model& model, const std::vector<int32_t>& prompt) {
  GenerateOptions options;
  options.max_new_tokens = 4;
  options.sampler.temperature = 0;
  options.ignore_eos = true;
  const auto result = Generate(model, nullptr, prompt, options);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->ids : std::vector<int32_t>();
}

class EmulatedModel : public testing::TestWithParam<ModelCase> {};

TEST_P(EmulatedModel, GivesTheLogitsAndTokensOfTheCpu) {
  const ModelCase& c = GetParam();
  const TestStore store(c.model, c.recipe, 16 << 10);
  const bool large = std::string(c.model).starts_with("bard-6.7M");
  std::vector<int32_t> tokens;
  for (int i = 0; i < (large ? 18 : 35); ++i) {
    tokens.push_back(static_cast<int32_t>((i * 37 + 5) % store->hyper_parameters().vocab_size));
  }
  RunConfig config;
  config.chunk = c.chunk;
  config.kv = c.kv;
  config.context = 128;
  TestModel cpu(*store, config);
  EmulatedModelOf emulated(*store, 7, c.more_vram, config);
  const std::vector<float> want = cpu.Logits(tokens);
  const absl::StatusOr<std::vector<float>> computed = LogitsOf(*emulated.model, tokens);
  ASSERT_TRUE(computed.ok()) << computed.status();
  const std::vector<float>& got = *computed;
  ASSERT_EQ(got.size(), want.size());
  EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0);
  if (!large) {
    EXPECT_EQ(Greedy(*emulated.model, tokens), Greedy(*cpu.model, tokens));
  }
}

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
      EmulatedModelOf emulated(*store, static_cast<uint64_t>(chunk), 0, config);
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
    EmulatedModelOf emulated(*store, 3, 0, config);
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
      EmulatedModelOf emulated(*store, seed, 60 << 10, config, KvPlace::kDevice, c.share);
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
      EmulatedModelOf emulated(*store, static_cast<uint64_t>(count), 0, config);
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
    EmulatedModelOf emulated(*store, 11, more_vram, config, KvPlace::kHost);
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
      EmulatedModelOf emulated(*store, static_cast<uint64_t>(count), 0, config, KvPlace::kDevice, 1);
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

INSTANTIATE_TEST_SUITE_P(All, EmulatedModel, testing::ValuesIn(kCases), [](const auto& info) {
  std::string name = info.param.model;
  for (char& c : name) {
    if (c == '-' || c == '.' || c == '/') c = '_';
  }
  return name;
});

}  // namespace
}  // namespace sluice
