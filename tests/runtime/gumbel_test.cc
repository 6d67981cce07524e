// The noise is Gumbel's, and its bits depend on nothing but seed, position and token.
#include "runtime/sample/gumbel.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(FixedLog, IsTheLogarithmToTwoUnitsInTheLastPlace) {
  for (int exponent = -60; exponent <= 60; ++exponent) {
    for (int i = 0; i < 1000; ++i) {
      const double x = std::ldexp(1 + i / 1000.0, exponent);
      // Beside 1 the result is small, and the error is that of the sum that it comes from.
      const double unit = std::max(std::fabs(std::log(x)), 0x1p-10) * 0x1p-52;
      EXPECT_NEAR(FixedLog(x), std::log(x), 2 * unit) << x;
    }
  }
  EXPECT_EQ(FixedLog(1), 0);
}

TEST(GumbelNoise, HasTheBitsThatItHasEverywhere) {
  // Computed once; a machine, a compiler or a change that gives others would change all texts.
  EXPECT_EQ(std::bit_cast<uint64_t>(GumbelNoise(1, 2).Of(3)), 0xbfe2d95c138da180u);
  EXPECT_EQ(std::bit_cast<uint64_t>(GumbelNoise(0, 0).Of(0)), 0xbfe5c8c496496462u);
}

TEST(GumbelNoise, IsDistributedAsGumbelSaid) {
  // The Kolmogorov-Smirnov statistic of n samples is above 1.95 / sqrt(n) once in a thousand.
  constexpr int kSamples = 100000;
  std::vector<double> samples;
  for (int i = 0; i < kSamples; ++i) samples.push_back(GumbelNoise(7, i / 100).Of(i % 100));
  std::sort(samples.begin(), samples.end());
  double distance = 0;
  for (int i = 0; i < kSamples; ++i) {
    const double p = std::exp(-std::exp(-samples[i]));
    distance = std::max(
        {distance, std::fabs(p - i / double{kSamples}), std::fabs(p - (i + 1) / double{kSamples})});
  }
  EXPECT_LT(distance, 1.95 / std::sqrt(kSamples));
}

TEST(GumbelNoise, IsNeverAboveItsBound) {
  for (int position = 0; position < 200; ++position) {
    const GumbelNoise noise(3, position);
    for (int id = 0; id < 500; ++id) EXPECT_LE(noise.Of(id), noise.BoundOf(id)) << position;
    for (const double least : {-3.0, 0.0, 2.5, 7.0, 30.0}) {
      const uint64_t limit = GumbelNoise::LimitOf(least);
      for (int id = 0; id < 500; ++id) {
        if (noise.MayExceed(id, limit)) continue;
        EXPECT_LE(noise.Of(id), least) << position;
      }
    }
  }
}

TEST(SeedOfChoice, LeavesTheFirstChoiceTheSeedAndGivesTheOthersTheirOwn) {
  EXPECT_EQ(SeedOfChoice(42, 0), 42u);
  EXPECT_NE(SeedOfChoice(42, 1), SeedOfChoice(42, 2));
  EXPECT_NE(SeedOfChoice(42, 1), SeedOfChoice(43, 1));
}

}  // namespace
}  // namespace sluice
