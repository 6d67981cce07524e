// The rates of the stages are measured.
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
  const std::vector<ReadSource> sources = {{dir.Path("a"), 3 << 20},
                                           {dir.Path("b"), (1 << 20) + 5}};
  IoOptions options;
  options.kind = GetParam();
  const absl::StatusOr<double> rate = MeasureReadRate(sources, options, 0.02);
  ASSERT_TRUE(rate.ok()) << rate.status();
  EXPECT_GT(*rate, 0);
}

INSTANTIATE_TEST_SUITE_P(Engines, StageRatesTest, testing::Values(IoKind::kAuto, IoKind::kThreads));

TEST(StageRates, WantsSomethingToRead) {
  EXPECT_TRUE(absl::IsInvalidArgument(MeasureReadRate({}, IoOptions(), 0.01).status()));
  EXPECT_FALSE(MeasureReadRate({{"/nowhere/at/all", 2 << 20}}, IoOptions(), 0.01).ok());
}

TEST(StageRates, MeasuresVerifying) { EXPECT_GT(MeasureVerifyRate(0.01), 0); }

}  // namespace
}  // namespace sluice
