// The workspace: what is prepared in place, and what that saves.
#include "runtime/memory_plan.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/runtime/model_harness.h"

namespace sluice {
namespace {

TEST(Workspace, PreparesInPlaceWithoutReachingWhatIsStillToBeRead) {
  // Prepared rows that are shorter than floats, as long, and longer by padding.
  constexpr std::pair<int64_t, int64_t> kRowBytes[] = {{320, 1024}, {4096, 4096}, {64, 4}, {1088, 1060}};
  for (const auto& [prepared, floats] : kRowBytes) {
    for (int64_t rows = 1; rows < 5 * kRowTile; rows += 1 + rows / 7) {
      const int64_t ahead = PreparedAhead(rows, prepared, floats);
      EXPECT_EQ(ahead % 256, 0);
      for (int64_t first = 0; first < rows; first += kRowTile) {
        const int64_t end = std::min(first + kRowTile, rows);
        ASSERT_LE(end * prepared - ahead, first * floats) << rows << " rows of " << prepared << " for " << floats;
      }
      ASSERT_LE(ahead, PreparedAhead(rows + 1, prepared, floats)) << "a place for many rows must do for few";
    }
  }
}

// Rows of a pass of Llama 70B's shape beside what they took when all of them were normed and prepared at once.
TEST(Workspace, HoldsAFewRowsOnlyBetweenResidualStreamAndProducts) {
  for (const auto& [encoding, share] : {std::pair(Encoding::kQ4_K, 0.78), std::pair(Encoding::kBF16, 0.66)}) {
    Manifest manifest;
    HyperParameters& h = manifest.hyper_parameters;
    h.hidden_size = 8192;
    h.num_attention_heads = 64;
    h.num_key_value_heads = 8;
    h.head_dim = 128;
    h.intermediate_size = 28672;
    h.vocab_size = 128256;
    int64_t widest = 0;
    for (const auto& [role, k] : {std::pair(TensorRole::kQ, 8192), std::pair(TensorRole::kO, 8192),
                                  std::pair(TensorRole::kGate, 8192), std::pair(TensorRole::kDown, 28672)}) {
      ManifestTensor tensor;
      tensor.role = role;
      tensor.encoding = encoding;
      tensor.shape = {8192, k};
      manifest.tensors.push_back(tensor);
      widest = std::max(widest, ActivationRowBytes(Info(encoding).activations, k));
    }
    constexpr int64_t kRows = 1024;
    const int64_t at_once = kRows * (2 * 4 * h.hidden_size + 4 * h.intermediate_size + widest);
    const double taken = static_cast<double>(SizeWorkspace(manifest, kRows, 1, 1, /*fast_math=*/false).activations());
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
      EXPECT_EQ(TestModel(*store, {.chunk = chunk}).Logits(tokens), expected) << recipe << ", " << chunk << " rows";
    }
  }
}

}  // namespace
}  // namespace sluice
