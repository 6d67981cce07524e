// The workspace: what is prepared in place, and what that saves.
#include "runtime/pass/memory_plan.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/kv/kv_cache.h"
#include "tests/runtime/model_harness.h"

namespace sluice {
namespace {

TEST(Workspace, PreparesInPlaceWithoutReachingWhatIsStillToBeRead) {
  // Prepared rows that are shorter than floats, as long, and longer by padding.
  constexpr std::pair<int64_t, int64_t> kRowBytes[] = {
      {320, 1024}, {4096, 4096}, {64, 4}, {1088, 1060}};
  for (const auto& [prepared, floats] : kRowBytes) {
    for (int64_t rows = 1; rows < 5 * kRowTile; rows += 1 + rows / 7) {
      const int64_t ahead = PreparedAhead(rows, prepared, floats);
      EXPECT_EQ(ahead % 256, 0);
      for (int64_t first = 0; first < rows; first += kRowTile) {
        const int64_t end = std::min(first + kRowTile, rows);
        ASSERT_LE(end * prepared - ahead, first * floats)
            << rows << " rows of " << prepared << " for " << floats;
      }
      ASSERT_LE(ahead, PreparedAhead(rows + 1, prepared, floats))
          << "a place for many rows must do for few";
    }
  }
}

// Rows of a pass of Llama 70B's shape beside what they took when all of them were normed and
// prepared at once.
TEST(Workspace, HoldsAFewRowsOnlyBetweenResidualStreamAndProducts) {
  for (const auto& [encoding, share] :
       {std::pair(Encoding::kQ4_K, 0.78), std::pair(Encoding::kBF16, 0.66)}) {
    Manifest manifest;
    HyperParameters& h = manifest.hyper_parameters;
    h.hidden_size = 8192;
    h.num_attention_heads = 64;
    h.num_key_value_heads = 8;
    h.head_dim = 128;
    h.intermediate_size = 28672;
    h.vocab_size = 128256;
    h.num_hidden_layers = 1;
    int64_t widest = 0;
    for (const auto& [role, k] :
         {std::pair(TensorRole::kQ, 8192), std::pair(TensorRole::kK, 8192),
          std::pair(TensorRole::kV, 8192), std::pair(TensorRole::kO, 8192),
          std::pair(TensorRole::kGate, 8192), std::pair(TensorRole::kUp, 8192),
          std::pair(TensorRole::kDown, 28672), std::pair(TensorRole::kHead, 8192)}) {
      ManifestTensor tensor;
      tensor.role = role;
      tensor.layer = role == TensorRole::kHead ? -1 : 0;
      tensor.encoding = encoding;
      tensor.shape = {8192, k};
      manifest.tensors.push_back(tensor);
      widest = std::max(widest, ActivationRowBytes(Info(encoding).activations, k));
    }
    manifest.Derive();
    constexpr int64_t kRows = 1024;
    const int64_t at_once = kRows * (2 * 4 * h.hidden_size + 4 * h.intermediate_size + widest);
    const double taken = static_cast<double>(
        SizeWorkspace(manifest, {.rows = kRows, .logit_rows = 1}, Rounding::kNone).activations());
    EXPECT_LE(taken, share * static_cast<double>(at_once)) << Info(encoding).name;
  }
}

TEST(Workspace, GivesTheSameLogitsInTilesAsRowByRow) {
  std::vector<int32_t> tokens(2 * kRowTile + 3);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * i % 97);
  for (const char* recipe : {"", "q8_0"}) {
    const TestStore store("qwen2-bias-bf16", recipe, 8 << 10);
    const std::vector<float> expected = TestModel(*store, {.chunk = 1}).Logits(tokens);
    for (const int64_t chunk : {kRowTile - 1, kRowTile, kRowTile + 1, 2 * kRowTile + 3}) {
      EXPECT_EQ(TestModel(*store, {.chunk = chunk}).Logits(tokens), expected)
          << recipe << ", " << chunk << " rows";
    }
  }
}

// A page on disk leaves room for two of its three layers in memory, and little else.
TEST(Arithmetic, IsNamedByWhatRoundsAndWhere) {
  PlanRequest cpu, device;
  device.device = DeviceBudget{.compute_capability = 86};
  EXPECT_EQ(ArithmeticOf(cpu), "exact");
  EXPECT_EQ(ArithmeticOf(device), "exact") << "the same bits everywhere";
  cpu.fast_math = device.fast_math = true;
  EXPECT_EQ(ArithmeticOf(cpu), "fast-math");
  EXPECT_EQ(ArithmeticOf(device), "fast-math on compute capability 8.6");
  const struct {
    Encoding encoding;
    ActivationFormat exact, on_cpu, on_device;
  } kCases[] = {
      {Encoding::kF32, ActivationFormat::kF32, ActivationFormat::kF32, ActivationFormat::kF32},
      {Encoding::kF16, ActivationFormat::kF32, ActivationFormat::kF32, ActivationFormat::kF16},
      {Encoding::kBF16, ActivationFormat::kF32, ActivationFormat::kBF16, ActivationFormat::kBF16},
      {Encoding::kQ8_0, ActivationFormat::kInt8Block32, ActivationFormat::kInt8Block32,
       ActivationFormat::kInt8Block32},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(ActivationsOf(c.encoding, RoundingOf(PlanRequest())), c.exact)
        << Info(c.encoding).name;
    EXPECT_EQ(ActivationsOf(c.encoding, RoundingOf(cpu)), c.on_cpu) << Info(c.encoding).name;
    EXPECT_EQ(ActivationsOf(c.encoding, RoundingOf(device)), c.on_device) << Info(c.encoding).name;
  }
}

TEST(MemoryPlan, TakesPagesOnDiskForWhatIsOnItsWay) {
  const TestStore store("qwen2-bias-bf16", "", 8 << 10);
  PlanRequest request;
  request.max_ram_bytes = int64_t{1} << 30;
  request.context_tokens = 256;
  request.num_sequences = 100;
  request.kv_pages = 400;
  const StateLayout layout = LayoutOf(store->manifest(), request);
  const MemoryPlan in_memory = *PlanMemory(*store, request);
  EXPECT_EQ(in_memory.kv_disk_pages, 0);
  for (const int64_t disk_pages : {1, 150, 399, 400}) {
    request.kv_disk_pages = disk_pages;
    const MemoryPlan plan = *PlanMemory(*store, request);
    EXPECT_EQ(plan.kv_pages, 400);
    EXPECT_EQ(plan.kv_disk_pages, disk_pages);
    const int64_t saved = in_memory.host().minimum_bytes - plan.host().minimum_bytes;
    const int64_t wanted = disk_pages * (layout.page_bytes() - 2 * layout.largest_page_bytes());
    EXPECT_LE(saved, wanted + kHugePageBytes) << "a buffer in whole huge pages";
    EXPECT_GE(saved, wanted - disk_pages * 2048 - kHugePageBytes) << disk_pages;
    int64_t items = 0;
    for (const PlanItem& item : plan.host().items)
      items += item.name.starts_with("KV") ? item.bytes : 0;
    EXPECT_GE(items, KvCache::Bytes(layout, {400, disk_pages}));
  }
  request.kv_disk_pages = 1000;
  EXPECT_EQ(PlanMemory(*store, request)->kv_disk_pages, 400) << "no more than there are";
  request.device = DeviceBudget{.max_bytes = int64_t{1} << 30};
  EXPECT_TRUE(absl::IsInvalidArgument(PlanMemory(*store, request).status()));
}

}  // namespace
}  // namespace sluice
