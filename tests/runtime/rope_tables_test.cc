// Tests of rotary tables of layers that differ.
#include "runtime/pass/rope_tables.h"

#include <cmath>
#include <cstdint>
#include <variant>
#include <vector>

#include "gtest/gtest.h"
#include "prefetch/io/host_buffer.h"

namespace sluice {
namespace {

LayerSpec LayerOf(double theta, int64_t head_dim) {
  AttentionSpec attention = {};
  attention.head_dim = head_dim;
  attention.rope.theta = theta;
  return {attention, GatedMlpSpec{}};
}

TEST(RopeTables, LayersThatTurnHeadsAlikeShareOne) {
  const ModelSpec model = {
      .layers = {LayerOf(1e4, 8), LayerOf(1e6, 8), LayerOf(1e4, 8), LayerOf(1e4, 16)}};
  constexpr int64_t kContext = 100;
  EXPECT_EQ(
      RopeTables::MemoryBytes(model, kContext),
      2 * HostBuffer::RoundedBytes(kContext * 8 * 4) + HostBuffer::RoundedBytes(kContext * 16 * 4));
  const auto place = MakeHostPlace(nullptr);
  const auto tables = RopeTables::Create(model, kContext, place.get());
  ASSERT_TRUE(tables.ok()) << tables.status();
  EXPECT_EQ(tables->OfLayer(0), tables->OfLayer(2));
  EXPECT_NE(tables->OfLayer(0), tables->OfLayer(1));
  EXPECT_NE(tables->OfLayer(0), tables->OfLayer(3));
}

// Rows of cosines, then sines, also behind the rows that are computed at once.
TEST(RopeTables, HoldCosinesThenSinesOfEachPosition) {
  const ModelSpec model = {.layers = {LayerOf(1e4, 8), LayerOf(1e6, 8)}};
  const auto place = MakeHostPlace(nullptr);
  const auto tables = RopeTables::Create(model, 100, place.get());
  ASSERT_TRUE(tables.ok()) << tables.status();
  for (const int64_t position : {0, 1, 63, 64, 99}) {
    for (int layer = 0; layer < 2; ++layer) {
      const float* const row = tables->OfLayer(layer) + position * 8;
      for (int i = 0; i < 4; ++i) {
        const double angle =
            static_cast<double>(position) * std::pow(layer == 0 ? 1e4 : 1e6, -2.0 * i / 8);
        EXPECT_NEAR(row[i], std::cos(angle), 1e-6);
        EXPECT_NEAR(row[4 + i], std::sin(angle), 1e-6);
      }
    }
  }
}

}  // namespace
}  // namespace sluice
