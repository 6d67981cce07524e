// Rates are measured, and a simulated disk keeps to its rate.
#include "prefetch/stage_rates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/prefetch/test_store.h"

namespace sluice {
namespace {

class StageRatesTest : public testing::TestWithParam<IoKind> {};

TEST_P(StageRatesTest, MeasuresTheDiskRoundAndRound) {
  const TempDir dir;
  WriteFile(dir.Path("a"), RandomBytes(3 << 20, 1));
  WriteFile(dir.Path("b"), RandomBytes((1 << 20) + 5, 2));
  const std::vector<ReadSource> sources = {{dir.Path("a"), 3 << 20}, {dir.Path("b"), (1 << 20) + 5}};
  IoOptions options;
  options.kind = GetParam();
  const absl::StatusOr<double> rate = MeasureReadRate(sources, options, 0.02);
  ASSERT_TRUE(rate.ok()) << rate.status();
  EXPECT_GT(*rate, 0);
}

TEST_P(StageRatesTest, NeverExceedsTheSimulatedDisk) {
  const TempDir dir;
  WriteFile(dir.Path("a"), RandomBytes(8 << 20, 1));
  IoOptions options;
  options.kind = GetParam();
  options.read_bytes = 256 << 10;
  options.max_bytes_per_s = 100'000'000;
  const absl::StatusOr<double> rate = MeasureReadRate({{dir.Path("a"), 8 << 20}}, options, 0.2);
  ASSERT_TRUE(rate.ok()) << rate.status();
  // One read may go at once, and 5 ms be caught up on.
  EXPECT_LE(*rate, 1.05 * 100e6);
}

INSTANTIATE_TEST_SUITE_P(Engines, StageRatesTest, testing::Values(IoKind::kAuto, IoKind::kThreads));

TEST(StageRates, WantsSomethingToRead) {
  EXPECT_TRUE(absl::IsInvalidArgument(MeasureReadRate({}, IoOptions(), 0.01).status()));
  EXPECT_FALSE(MeasureReadRate({{"/nowhere/at/all", 2 << 20}}, IoOptions(), 0.01).ok());
}

TEST(StageRates, MeasuresVerifying) { EXPECT_GT(MeasureVerifyRate(0.01), 0); }

}  // namespace
}  // namespace sluice
