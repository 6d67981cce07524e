// Whole models on the emulated machine: logits and tokens in the bits of the CPU, which are held
// against Hugging Face transformers elsewhere (tests/runtime/golden_model_test.cc).
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/status_macros.h"
#include "runtime/generator.h"
#include "tests/cuda_emulation/machine.h"
#include "tests/runtime/model_harness.h"

namespace sluice {
namespace {

// A model that lives in host memory reads results between calls, so each call is waited for;
// kernels work on that memory, which to the emulated machine is like its own.
class EmulatedOps : public Ops {
 public:
  EmulatedOps(uint64_t seed, const cuda::CudaOpsOptions& options) {
    cuda_emulation::Reset({.seed = seed});
    stream_ = std::make_unique<cuda::Stream>(*cuda::Stream::Create());
    ops_ = *cuda::MakeCudaOps(*cuda::Device::Open(0), stream_.get(), &allocator_, options);
  }
  ~EmulatedOps() override {
    ops_.reset();
    stream_.reset();
    EXPECT_EQ(cuda_emulation::Faults(), "");
    EXPECT_EQ(cuda_emulation::LiveObjects(), 0);
  }

  absl::Status PrepareActivations(ActivationFormat format, const float* x, int64_t x_stride,
                                  int64_t num_rows, int64_t k, std::byte* out) override {
    return Wait(ops_->PrepareActivations(format, x, x_stride, num_rows, k, out));
  }
  absl::Status MatMul(const MatMulArgs& args) override { return Wait(ops_->MatMul(args)); }
  absl::Status RmsNorm(const float* x, int64_t x_stride, int64_t num_rows, int64_t n,
                       const float* weight, float eps, float* out, int64_t out_stride) override {
    return Wait(ops_->RmsNorm(x, x_stride, num_rows, n, weight, eps, out, out_stride));
  }
  absl::Status Rope(float* x, int64_t x_stride, int64_t num_rows, int64_t num_heads,
                    int64_t head_dim, const float* cos_sin, absl::Span<const int64_t> positions,
                    const float* norm_weight, float norm_eps) override {
    return Wait(ops_->Rope(x, x_stride, num_rows, num_heads, head_dim, cos_sin, positions,
                           norm_weight, norm_eps));
  }
  absl::Status AppendKv(const AttentionArgs& args, const float* k, const float* v,
                        int64_t kv_stride) override {
    return Wait(ops_->AppendKv(args, k, v, kv_stride));
  }
  absl::Status Attention(const AttentionArgs& args, const float* q, int64_t q_stride, float* out,
                         int64_t out_stride) override {
    return Wait(ops_->Attention(args, q, q_stride, out, out_stride));
  }

 private:
  absl::Status Wait(absl::Status queued) {
    SLUICE_RETURN_IF_ERROR(queued);
    return stream_->Synchronize();
  }

  cuda::CudaAllocator allocator_;
  std::unique_ptr<cuda::Stream> stream_;
  std::unique_ptr<Ops> ops_;
};

struct ModelCase {
  const char* model;
  const char* recipe;  // "": the checkpoint's own encodings
  KvType kv;
  int64_t chunk;  // rows a pass
  int64_t mma_min_tokens;
};
// Every kind of layer, each type of KV cache, prompts in one pass and in several.
constexpr ModelCase kCases[] = {
    {"llama-gqa-untied-f32", "", KvType::kF32, 512, 17},
    {"llama3-rope-bf16-sharded", "", KvType::kF16, 23, 17},
    {"mistral-window-f16", "", KvType::kQ8_0, 512, 17},
    {"qwen2-bias-bf16", "q8_0", KvType::kF16, 17, 17},
    {"qwen3-qknorm-bf16", "", KvType::kF32, 9, 17},
    {"llama-linear-rope-f32", "q4_0", KvType::kF16, 512, 1},
    {"qwen2-yarn-bf16", "", KvType::kF16, 512, 17},
    {"bard-6.7M", "q4_k_m", KvType::kQ8_0, 5, 17},
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
  const bool large = std::string(c.model) == "bard-6.7M";
  std::vector<int32_t> tokens;
  for (int i = 0; i < (large ? 6 : 35); ++i) {
    tokens.push_back(static_cast<int32_t>((i * 37 + 5) % store->hyper_parameters().vocab_size));
  }
  RunConfig config;
  config.chunk = c.chunk;
  config.kv = c.kv;
  config.context = 128;
  TestModel cpu(*store, config);
  config.make_ops = [&c] {
    return std::make_unique<EmulatedOps>(7,
                                         cuda::CudaOpsOptions{.mma_min_tokens = c.mma_min_tokens});
  };
  TestModel emulated(*store, config);
  const std::vector<float> want = cpu.Logits(tokens);
  const std::vector<float> got = emulated.Logits(tokens);
  ASSERT_EQ(got.size(), want.size());
  EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0);
  if (!large) {
    EXPECT_EQ(Greedy(*emulated.model, tokens), Greedy(*cpu.model, tokens));
  }
}

INSTANTIATE_TEST_SUITE_P(All, EmulatedModel, testing::ValuesIn(kCases), [](const auto& info) {
  std::string name = info.param.model;
  for (char& c : name) {
    if (c == '-' || c == '.') c = '_';
  }
  return name;
});

}  // namespace
}  // namespace sluice
