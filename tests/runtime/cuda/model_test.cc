// Whole models through the pipeline of a device, emulated or real: logits and tokens in the bits of the CPU, which are
// held against Hugging Face transformers elsewhere (tests/runtime/golden_model_test.cc).
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/generator.h"
#include "tests/runtime/cuda/device_model.h"

namespace sluice {
namespace {

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

class DeviceModelTest : public testing::TestWithParam<ModelCase> {
 protected:
  void SetUp() override {
    if (!cuda::Backend::HasDevice()) GTEST_SKIP() << "no CUDA device";
    const std::string path = TestDataPath(std::string("models/") + GetParam().model);
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " was not carried along";
  }
};

TEST_P(DeviceModelTest, GivesTheLogitsAndTokensOfTheCpu) {
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
  DeviceModelOf device(*store, 7, c.more_vram, config);
  const std::vector<float> want = cpu.Logits(tokens);
  const absl::StatusOr<std::vector<float>> computed = LogitsOf(*device.model, tokens);
  ASSERT_TRUE(computed.ok()) << computed.status();
  const std::vector<float>& got = *computed;
  ASSERT_EQ(got.size(), want.size());
  EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0);
  if (!large) {
    EXPECT_EQ(Greedy(*device.model, tokens), Greedy(*cpu.model, tokens));
  }
}

INSTANTIATE_TEST_SUITE_P(All, DeviceModelTest, testing::ValuesIn(kCases), [](const auto& info) {
  std::string name = info.param.model;
  for (char& c : name) {
    if (c == '-' || c == '.' || c == '/') c = '_';
  }
  return name;
});

}  // namespace
}  // namespace sluice
