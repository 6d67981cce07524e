// Rows of trees on a CUDA device, emulated or real: each path's logits are those of its chain, and
// rows that are moved keep their bytes.
#include <filesystem>
#include <random>

#include "gtest/gtest.h"
#include "tests/runtime/cuda/device_model.h"
#include "tests/runtime/tree_harness.h"

namespace sluice {
namespace {

TEST(CudaTreePass, GivesTheBitsOfEachPath) {
  const char* const kModel = "mistral-window-f16";
  if (!cuda::Backend::HasDevice() ||
      !std::filesystem::exists(TestDataPath("models/mistral-window-f16"))) {
    GTEST_SKIP() << "no CUDA device, or no model beside this program";
  }
  const TestStore store(kModel, "", 16 << 10);
  std::mt19937 random(11);
  uint64_t seed = 0;
  for (const KvPlace place : {KvPlace::kDevice, KvPlace::kHost}) {
    // Rows for three pages at once of a model with a window: a prompt's beside the tree's.
    const KvType kv = place == KvPlace::kDevice ? KvType::kF16 : KvType::kQ8_0;
    DeviceModelOf device(*store, ++seed, int64_t{64} << 20,
                         {.chunk = 112, .kv = kv, .context = 128, .kv_pages = 8, .draft_rows = 26},
                         place);
    ExpectTreesAreTheirPaths(*device.model, random, /*known=*/5, /*nodes=*/6, /*most_depth=*/3);
  }
}

}  // namespace
}  // namespace sluice
