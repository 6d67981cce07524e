// Weights that are no numbers: the run ends where they show, on the host and on a device.
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/runtime/edited_checkpoint.h"
#include "tests/runtime/late_model.h"
#include "tests/runtime/model_harness.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

TEST(NotFinite, IsToldByTheLayerWhereItArose) {
  const struct {
    const char* tensor;
    const char* message;
  } cases[] = {
      {"model.embed_tokens.weight", "the embedding holds numbers"},
      {"model.layers.0.input_layernorm.weight", "layer 0 gave numbers"},
      {"model.layers.1.mlp.down_proj.weight", "layer 1 gave numbers"},
      {"lm_head.weight", "the head gave logits"},
  };
  for (const auto& c : cases) {
    for (const float value :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      SCOPED_TRACE(testing::Message() << c.tensor << " " << value);
      const TempDir dir;
      CopyWith("llama-gqa-untied-f32", dir / "model", c.tensor, value);
      const TestStore store(dir / "model", "", 16 << 10);
      const std::vector<int32_t> tokens = {0, 3};  // the embedding's first row
      RunConfig config;
      config.context = 128;
      const absl::Status on_host = TestModel(*store, config).TryLogits(tokens).status();
      EXPECT_EQ(on_host.code(), absl::StatusCode::kDataLoss);
      EXPECT_THAT(on_host.message(), testing::HasSubstr(c.message));
      LateModel late(*store, 1, 1 << 20, 1 << 20, 8);
      EXPECT_EQ(LogitsOf(*late.model, tokens).status(), on_host);
    }
  }
}

}  // namespace
}  // namespace sluice
