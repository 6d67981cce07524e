// Logits and greedy tokens of small checkpoints against Hugging Face transformers, and bit
// for bit the same however the model is placed and executed.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "runtime/engine/generator.h"
#include "tests/runtime/model_harness.h"
#include "tests/support/reference_file.h"

namespace sluice {
namespace {

constexpr const char* kModels[] = {
    "llama-gqa-untied-f32", "llama3-rope-bf16-sharded", "mistral-window-f16", "qwen2-bias-bf16",
    "qwen3-qknorm-bf16",    "llama-linear-rope-f32",    "qwen2-yarn-bf16",    "seed-oss-bf16",
};
constexpr int kCases = 4;

struct GoldenCase {
  std::vector<int32_t> input_ids;
  std::vector<float> logits;
  std::vector<int32_t> greedy_ids;
};

std::vector<GoldenCase> LoadCases(const std::string& model) {
  const ReferenceFile file(TestDataPath("models/" + model + "/golden.safetensors"));
  std::vector<GoldenCase> cases;
  for (int i = 0; i < kCases; ++i) {
    const std::string prefix = "case" + std::to_string(i) + ".";
    cases.push_back({file.Get<int32_t>(prefix + "input_ids"), file.Get<float>(prefix + "logits"),
                     file.Get<int32_t>(prefix + "greedy_ids")});
  }
  return cases;
}

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(a[i]) - b[i]));
  }
  return largest;
}

std::vector<int32_t> GreedyIds(const LayerStore& store, RunConfig config,
                               const GoldenCase& golden) {
  config.all_logits = false;
  TestModel model(store, config);
  GenerateOptions options;
  options.max_new_tokens = static_cast<int64_t>(golden.greedy_ids.size());
  options.sampler.temperature = 0;
  options.ignore_eos = true;
  const auto result = Generate(*model.model, nullptr, golden.input_ids, options);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? result->ids : std::vector<int32_t>();
}

class GoldenModel : public testing::TestWithParam<const char*> {};

// The bounds are the issue's: f32 sums in another order move logits by far less than 2e-3, keys and
// values rounded to f16 by up to 3e-2.
TEST_P(GoldenModel, GivesTheLogitsAndGreedyTokensOfTransformers) {
  const TestStore store(GetParam(), "", 16 << 10);
  for (const auto& [kv, bound] : {std::pair(KvType::kF32, 2e-3), std::pair(KvType::kF16, 3e-2)}) {
    RunConfig config;
    config.kv = kv;
    TestModel model(*store, config);
    for (const GoldenCase& golden : LoadCases(GetParam())) {
      EXPECT_LT(LargestDifference(model.Logits(golden.input_ids), golden.logits), bound);
      EXPECT_EQ(GreedyIds(*store, config, golden), golden.greedy_ids);
    }
  }
}

TEST_P(GoldenModel, GivesTheSameBitsHoweverItIsPlacedAndExecuted) {
  const GoldenCase golden = LoadCases(GetParam()).back();
  const RunConfig reference = {.name = "reference"};
  std::vector<float> expected;
  for (const auto& [slab_bytes, compression] :
       {std::pair(int64_t{1}, StoreCompression::kNone),  // a tile a slab
        std::pair(int64_t{20000}, StoreCompression::kNone),
        std::pair(int64_t{65536}, StoreCompression::kZstd),
        std::pair(kDefaultSlabBytes, StoreCompression::kNone)}) {
    const TestStore store(GetParam(), "", slab_bytes, compression);
    if (expected.empty()) expected = TestModel(*store, reference).Logits(golden.input_ids);
    std::vector<RunConfig> configs = {reference};
    const struct {
      IoKind io;
      int chunk;
      int threads;
    } kRuns[] = {{IoKind::kAuto, 512, 2}, {IoKind::kThreads, 9, 1}, {IoKind::kAuto, 1, 2}};
    for (const Placement placement :
         {Placement::kResident, Placement::kHalf, Placement::kStreamed}) {
      for (const auto& [io, chunk, threads] : kRuns) {
        if (chunk == 1 && placement != Placement::kHalf)
          continue;  // 61 passes: one placement shows it
        configs.push_back(
            {.name = absl::StrCat("placement ", static_cast<int>(placement), " io ",
                                  static_cast<int>(io), " chunk ", chunk, " threads ", threads),
             .placement = placement,
             .io = io,
             .chunk = chunk,
             .num_threads = threads});
      }
    }
    configs.push_back({.name = "keys and values on disk",
                       .placement = Placement::kHalf,
                       .chunk = 9,
                       .kv_disk_pages = 8});
    // Where tiles are cut into slabs, no kernel sees.
    for (const Isa isa : slab_bytes == 20000 ? SupportedIsas() : std::vector<Isa>()) {
      configs.push_back({.name = absl::StrCat("isa ", IsaName(isa)), .chunk = 23, .isa = isa});
    }
    for (const RunConfig& config : configs) {
      const std::vector<float> logits = TestModel(*store, config).Logits(golden.input_ids);
      ASSERT_EQ(logits.size(), expected.size()) << config.name;
      EXPECT_EQ(std::memcmp(logits.data(), expected.data(), logits.size() * sizeof(float)), 0)
          << config.name << " at slabs of " << slab_bytes;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenModel, testing::ValuesIn(kModels),
                         [](const testing::TestParamInfo<const char*>& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace sluice
