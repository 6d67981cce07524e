// Sampling: each truncation keeps what it says, and draws are reproducible.
#include "runtime/sample/sampler.h"

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

// Everything off but temperature 1.
SamplerOptions Plain() {
  SamplerOptions options;
  options.temperature = 1;
  options.top_k = 0;
  options.top_p = 1;
  options.min_p = 0;
  return options;
}

std::set<int32_t> Reachable(const SamplerOptions& options, const std::vector<float>& logits) {
  Sampler sampler(options, static_cast<int64_t>(logits.size()));
  std::set<int32_t> seen;
  for (int64_t position = 0; position < 2000; ++position)
    seen.insert(sampler.Sample(logits, {}, position));
  return seen;
}

TEST(Sampler, GreedyTakesTheFirstOfTheBest) {
  SamplerOptions options;
  options.temperature = 0;
  Sampler sampler(options, 4);
  EXPECT_EQ(sampler.Sample({1.f, 3.f, 3.f, 2.f}, {}, 0), 1);
}

TEST(Sampler, EachTruncationKeepsTheTokensItSays) {
  // Probabilities 0.5, 0.3, 0.15, 0.05.
  const std::vector<float> logits = {std::log(.15f), std::log(.5f), std::log(.05f), std::log(.3f)};
  struct Case {
    const char* name;
    void (*set)(SamplerOptions&);
    std::set<int32_t> kept;
  };
  const Case cases[] = {
      {"none", [](SamplerOptions&) {}, {0, 1, 2, 3}},
      {"top-k 1", [](SamplerOptions& o) { o.top_k = 1; }, {1}},
      {"top-k 3", [](SamplerOptions& o) { o.top_k = 3; }, {0, 1, 3}},
      {"top-k beyond", [](SamplerOptions& o) { o.top_k = 99; }, {0, 1, 2, 3}},
      {"top-p 0.4", [](SamplerOptions& o) { o.top_p = 0.4; }, {1}},
      {"top-p 0.7", [](SamplerOptions& o) { o.top_p = 0.7; }, {1, 3}},
      {"min-p 0.2", [](SamplerOptions& o) { o.min_p = 0.2; }, {0, 1, 3}},
      {"min-p 1", [](SamplerOptions& o) { o.min_p = 1; }, {1}},
  };
  for (const Case& c : cases) {
    SamplerOptions options = Plain();
    c.set(options);
    EXPECT_EQ(Reachable(options, logits), c.kept) << c.name;
  }
}

TEST(Sampler, DrawsWithTheProbabilitiesOfTheLogits) {
  const std::vector<float> logits = {std::log(.6f), std::log(.3f), std::log(.1f)};
  Sampler sampler(Plain(), 3);
  std::map<int32_t, int> counts;
  constexpr int kDraws = 20000;
  for (int64_t position = 0; position < kDraws; ++position)
    ++counts[sampler.Sample(logits, {}, position)];
  // Five standard deviations of a binomial of 20,000 draws are below 0.018.
  EXPECT_NEAR(counts[0] / double{kDraws}, 0.6, 0.018);
  EXPECT_NEAR(counts[1] / double{kDraws}, 0.3, 0.018);
}

TEST(Sampler, ADrawDependsOnSeedAndPositionAlone) {
  const std::vector<float> logits(50, 0.f);
  SamplerOptions options = Plain();
  options.seed = 42;
  Sampler a(options, 50), b(options, 50);
  a.Sample(logits, {}, 3);  // earlier draws leave no trace
  int differences = 0;
  for (int64_t position = 0; position < 100; ++position) {
    EXPECT_EQ(a.Sample(logits, {}, position), b.Sample(logits, {}, position));
    differences += UniformAt(1, position) != UniformAt(2, position);
  }
  EXPECT_EQ(differences, 100);
}

TEST(Sampler, PenalizesOnlyRecentTokensAndEachOnce) {
  SamplerOptions options;
  options.temperature = 0;
  options.repeat_penalty = 2;
  options.repeat_last_n = 2;
  Sampler sampler(options, 3);
  EXPECT_EQ(sampler.Sample({5.f, 4.f, -1.f}, {0}, 1), 1) << "5 / 2 is below 4";
  EXPECT_EQ(sampler.Sample({5.f, 4.f, -1.f}, {0, 2, 2}, 3), 0) << "out of the last two";
  EXPECT_EQ(sampler.Sample({5.f, 2.f, -1.f}, {0, 0}, 2), 0) << "not 5 / 4";
}

TEST(Sampler, RefusesOptionsOutsideTheirRange) {
  const double kNan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {-0.1, 1.1, kNan}) {
    SamplerOptions options;
    options.min_p = bad;
    EXPECT_FALSE(CheckSamplerOptions(options).ok()) << bad;
    options = SamplerOptions();
    options.top_p = bad;
    EXPECT_FALSE(CheckSamplerOptions(options).ok()) << bad;
  }
  SamplerOptions options;
  options.repeat_penalty = 0;
  EXPECT_FALSE(CheckSamplerOptions(options).ok());
  options = SamplerOptions();
  options.temperature = kNan;
  EXPECT_FALSE(CheckSamplerOptions(options).ok());
  EXPECT_TRUE(CheckSamplerOptions(SamplerOptions()).ok());
}

}  // namespace
}  // namespace sluice
