// Sampling: each step keeps what it says, in the order given; draws are reproducible and fair.
#include "runtime/sample/sampler.h"

#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

const std::vector<float> kLogits = {1.0f, 3.0f, 3.0f, 0.0f, -2.0f};

// `set` over the OpenAI API's defaults: all off but temperature 1.
template <typename Set>
SamplerOptions OpenAiWith(Set set) {
  SamplerOptions options = OpenAiSampling();
  set(options);
  return options;
}

// The same over llama.cpp's order of steps.
template <typename Set>
SamplerOptions LlamaWith(Set set) {
  SamplerOptions options = OpenAiSampling();
  options.steps = SamplerSteps::LlamaCpp();
  options.counts_answer_only = false;
  set(options);
  return options;
}

std::map<int32_t, int> Draw(const SamplerOptions& options, const std::vector<float>& logits,
                            int n) {
  Sampler sampler(static_cast<int64_t>(logits.size()));
  std::map<int32_t, int> drawn;
  for (int position = 0; position < n; ++position) {
    ++drawn[sampler.Sample(logits, options, {}, {}, position)];
  }
  return drawn;
}

std::set<int32_t> Reachable(const SamplerOptions& options, const std::vector<float>& logits,
                            int n = 5000) {
  std::set<int32_t> seen;
  for (const auto& [id, count] : Draw(options, logits, n)) seen.insert(id);
  return seen;
}

int32_t Greedy(SamplerOptions options, const std::vector<float>& logits,
               const std::vector<int32_t>& prompt, const std::vector<int32_t>& generated) {
  options.temperature = 0;
  Sampler sampler(static_cast<int64_t>(logits.size()));
  return sampler.Sample(logits, options, prompt, generated, 7);
}

TEST(Sampler, GreedyTakesTheFirstOfTheBest) {
  EXPECT_EQ(Greedy({}, {1.f, 3.f, 3.f, 2.f}, {}, {}), 1);
  EXPECT_EQ(Greedy(OpenAiSampling(), kLogits, {}, {}), 1);
  const auto biased = OpenAiWith([](SamplerOptions& o) { o.logit_bias = {{2, 0.5f}}; });
  EXPECT_EQ(Greedy(biased, kLogits, {}, {}), 2);
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
      // The entropy is 1.14; -ln p is 1.20, 0.69, 1.90 and 3.00 in the order of probability .3, ...
      {"typical 0.2", [](SamplerOptions& o) { o.typical_p = 0.2; }, {3}},
      {"typical 0.7", [](SamplerOptions& o) { o.typical_p = 0.7; }, {1, 3}},
      {"typical 0.9", [](SamplerOptions& o) { o.typical_p = 0.9; }, {0, 1, 3}},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Reachable(LlamaWith(c.set), logits), c.kept) << c.name;
    EXPECT_EQ(Reachable(OpenAiWith(c.set), logits), c.kept) << c.name;
  }
}

TEST(Sampler, TakesItsStepsInTheOrderGiven) {
  // At temperature 1, weights relative to the best: 0.135, 1, 1, 0.050, 0.007.
  struct Case {
    const char* name;
    void (*set)(SamplerOptions&);
    std::set<int32_t> openai, llama;
  };
  const Case cases[] = {
      {"top-p 0.48 of what top-k leaves, 0.456 of all",
       [](SamplerOptions& o) { o.top_p = 0.48, o.top_k = 2; },
       {1},
       {1}},
      {"top-p 0.9 and top-k 3",
       [](SamplerOptions& o) { o.top_p = 0.9, o.top_k = 3; },
       {1, 2},
       {1, 2}},
      {"min-p after temperature 2, where 0.135 is 0.368, or before it",
       [](SamplerOptions& o) { o.temperature = 2, o.min_p = 0.3; },
       {0, 1, 2},
       {1, 2}},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Reachable(OpenAiWith(c.set), kLogits), c.openai) << c.name;
    EXPECT_EQ(Reachable(LlamaWith(c.set), kLogits), c.llama) << c.name;
  }
  auto options = OpenAiWith([](SamplerOptions& o) { o.top_k = 1; });
  options.steps = *SamplerSteps::Parse("temperature;min_p");
  EXPECT_EQ(Reachable(options, kLogits).size(), 5u) << "a step that is not named is not taken";
}

TEST(SamplerSteps, AreReadByLlamaCppsNames) {
  EXPECT_EQ(SamplerSteps::Parse("penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature")
                ->ToString(),
            SamplerSteps::LlamaCpp().ToString());
  EXPECT_EQ(SamplerSteps::Parse("top_k;temperature")->ToString(), "top_k;temperature");
  EXPECT_EQ(SamplerSteps::Parse("")->ToString(), "");
  EXPECT_THAT(std::string(SamplerSteps::Parse("top_k;topp").status().message()),
              HasSubstr("\"topp\""));
  EXPECT_THAT(std::string(SamplerSteps::Parse("top_k;top_k").status().message()),
              HasSubstr("twice"));
}

TEST(Sampler, TopPMayReachBehindWhatIsSortedFirst) {
  const std::vector<float> flat(3000, 1.0f);
  const auto drawn = Draw(OpenAiWith([](SamplerOptions& o) { o.top_p = 0.5; }), flat, 1500);
  EXPECT_LT(drawn.rbegin()->first, 1501);
  EXPECT_GT(drawn.rbegin()->first, 1300);
}

TEST(Sampler, DrawsWithTheProbabilitiesOfTheLogits) {
  constexpr int kDraws = 20000;
  for (const double temperature : {0.5, 1.0, 2.0}) {
    double sum = 0;
    for (const float logit : kLogits) sum += std::exp(logit / temperature);
    const auto options = OpenAiWith([&](SamplerOptions& o) { o.temperature = temperature; });
    for (const auto& [id, count] : Draw(options, kLogits, kDraws)) {
      const double p = std::exp(kLogits[id] / temperature) / sum;
      // Five standard deviations of a binomial count.
      EXPECT_NEAR(count, kDraws * p, 5 * std::sqrt(kDraws * p * (1 - p)))
          << id << " at " << temperature;
    }
  }
}

// The chi-square of a million draws over 200 tokens, whose 99.9th percentile is 267 (199 degrees).
TEST(Sampler, AMillionDrawsFollowTheSoftmax) {
  constexpr int kTokens = 200, kDraws = 1'000'000;
  std::vector<float> logits(kTokens);
  double sum = 0;
  for (int i = 0; i < kTokens; ++i) {
    logits[i] = static_cast<float>(2 * std::sin(i * i));
    sum += std::exp(logits[i]);
  }
  const auto drawn = Draw(OpenAiSampling(), logits, kDraws);
  double chi_square = 0;
  for (int i = 0; i < kTokens; ++i) {
    const double expected = kDraws * std::exp(logits[i]) / sum;
    chi_square += std::pow(drawn.at(i) - expected, 2) / expected;
  }
  EXPECT_LT(chi_square, 267);
}

TEST(Sampler, ADrawDependsOnSeedAndPositionAlone) {
  Sampler a(5), b(5);
  const auto seeded = [](uint64_t seed) {
    return OpenAiWith([seed](SamplerOptions& o) { o.seed = seed; });
  };
  std::vector<int32_t> forwards, backwards, other;
  for (int i = 0; i < 50; ++i) {
    forwards.push_back(a.Sample(kLogits, seeded(9), {}, {}, i));
    other.push_back(a.Sample(kLogits, seeded(10), {}, {}, i));
  }
  for (int i = 49; i >= 0; --i) {
    backwards.insert(backwards.begin(), b.Sample(kLogits, seeded(9), {}, {}, i));
  }
  EXPECT_EQ(forwards, backwards);
  EXPECT_NE(forwards, other);
}

// What a draft relies on: a token that stays in the running is drawn as before.
TEST(Sampler, DrawsTheSameTokenWhereATruncationKeepsIt) {
  Sampler sampler(5);
  for (int64_t position = 0; position < 500; ++position) {
    const int32_t drawn = sampler.Sample(kLogits, OpenAiSampling(), {}, {}, position);
    const auto fewer = OpenAiWith([](SamplerOptions& o) { o.top_k = 3; });
    if (drawn < 3) {
      EXPECT_EQ(sampler.Sample(kLogits, fewer, {}, {}, position), drawn);
    }
  }
}

TEST(Sampler, ChoosesNoTokenThatTheMaskForbids) {
  Sampler sampler(5);
  const std::vector<uint64_t> allowed = {0b11001};
  for (int64_t position = 0; position < 200; ++position) {
    const int32_t id = sampler.Sample(kLogits, OpenAiSampling(), {}, {}, position, allowed);
    EXPECT_TRUE(allowed[0] >> id & 1) << id;
  }
}

// A bias of nothing keeps the sampler from picking straight from the logits.
TEST(Sampler, ChoosesTheSameStraightFromTheLogitsAsFromAListOfAllTokens) {
  constexpr int64_t kTokens = 3000;
  std::mt19937 numbers(7);
  std::vector<uint64_t> mask((kTokens + 63) / 64);
  for (uint64_t& word : mask) word = uint64_t{numbers()} << 32 | numbers();
  mask.back() &= (uint64_t{1} << (kTokens % 64)) - 1;
  Sampler sampler(kTokens);
  std::vector<float> logits(kTokens);
  for (int64_t position = 0; position < 200; ++position) {
    for (float& logit : logits) logit = static_cast<float>(numbers() % 128) / 8;
    for (const double temperature : {0.0, 1.5}) {
      for (const int64_t top_k : {-1, 0, 1, 40, 900, 2000}) {  // -1: a draw from all tokens
        for (const auto& allowed : {std::vector<uint64_t>(), mask}) {
          SamplerOptions options = LlamaWith([&](SamplerOptions& o) {
            o.temperature = temperature;
            o.top_k = top_k;
            o.top_p = top_k < 0 ? 1 : 0.9;
          });
          const int32_t straight = sampler.Sample(logits, options, {}, {}, position, allowed);
          options.logit_bias = {{5, 0.0f}};
          EXPECT_EQ(straight, sampler.Sample(logits, options, {}, {}, position, allowed))
              << "position " << position << ", top_k " << top_k;
        }
      }
    }
  }
}

TEST(Sampler, PenalizesOnlyRecentTokensAndEachOnce) {
  const auto options = LlamaWith([](SamplerOptions& o) {
    o.repeat_penalty = 2;
    o.repeat_last_n = 2;
  });
  EXPECT_EQ(Greedy(options, {5.f, 4.f, -1.f}, {0}, {}), 1) << "5 / 2 is below 4";
  EXPECT_EQ(Greedy(options, {5.f, 4.f, -1.f}, {0, 2}, {2}), 0) << "out of the last two";
  EXPECT_EQ(Greedy(options, {5.f, 2.f, -1.f}, {0}, {0}), 0) << "not 5 / 4";
}

TEST(Sampler, PenalizesByCountOverThePromptAsLlamaCppOrTheAnswerAsOpenAi) {
  const std::vector<int32_t> generated = {1, 2, 2, 1, 2};
  const auto with = [](double frequency, double presence) {
    return OpenAiWith([=](SamplerOptions& o) {
      o.frequency_penalty = frequency;
      o.presence_penalty = presence;
    });
  };
  EXPECT_EQ(Greedy(with(0.5, 0), kLogits, {}, generated), 1);
  EXPECT_EQ(Greedy(with(1.5, 0), kLogits, {}, generated), 0);
  EXPECT_EQ(Greedy(with(0, 1.9), kLogits, {}, generated), 1);
  EXPECT_EQ(Greedy(with(1.5, 0), kLogits, generated, {}), 1) << "the prompt does not count";
  const auto llama = LlamaWith([](SamplerOptions& o) { o.frequency_penalty = 1.5; });
  EXPECT_EQ(Greedy(llama, kLogits, generated, {}), 0) << "it does";
  const auto few = LlamaWith([](SamplerOptions& o) {
    o.frequency_penalty = 1.5;
    o.repeat_last_n = 1;
  });
  EXPECT_EQ(Greedy(few, kLogits, generated, {}), 1) << "but for what is long ago";
}

TEST(Sampler, PenalizesRepetitionOfThePromptToo) {
  const std::vector<int32_t> prompt = {2, 2, 4}, generated = {1};
  const auto with = [](double penalty, std::vector<std::pair<int32_t, float>> bias = {}) {
    return OpenAiWith([&](SamplerOptions& o) {
      o.repeat_penalty = penalty;
      o.logit_bias = bias;
    });
  };
  EXPECT_EQ(Greedy(with(2), kLogits, prompt, generated), 1) << "3 / 2 for both, once each";
  EXPECT_EQ(Greedy(with(4), kLogits, prompt, generated), 0);
  EXPECT_EQ(Greedy(with(4, {{1, -10}, {2, -10}, {0, -10}, {3, -10}}), kLogits, prompt, generated),
            4)
      << "-8 beside -9 and less, which are multiplied";
}

TEST(Sampler, WorksAtAnyTemperature) {
  for (const double temperature : {1e-300, 1e-9, 1e300}) {
    const auto options = OpenAiWith([=](SamplerOptions& o) {
      o.temperature = temperature;
      o.top_p = 0.9;
      o.typical_p = 0.9;
    });
    for (const int32_t id : Reachable(options, {1.f, 2.f, 3.f}, 50)) {
      EXPECT_TRUE(id == 2 || temperature > 1) << id << " at " << temperature;
    }
  }
}

TEST(Sampler, RefusesOptionsOutsideTheirRange) {
  using Option = SamplerRangeError::Option;
  const double kNan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(CheckSampler({}, 5).has_value());
  EXPECT_FALSE(CheckSampler(OpenAiSampling(), 5).has_value());
  const auto expect = [](Option option, auto set) {
    const auto error = CheckSampler(LlamaWith(set), 5);
    ASSERT_TRUE(error.has_value()) << static_cast<int>(option);
    EXPECT_EQ(error->option, option);
  };
  for (const double bad : {-0.1, 1.1, kNan}) {
    expect(Option::kMinP, [bad](SamplerOptions& o) { o.min_p = bad; });
    expect(Option::kTopP, [bad](SamplerOptions& o) { o.top_p = bad; });
    expect(Option::kTypicalP, [bad](SamplerOptions& o) { o.typical_p = bad; });
  }
  expect(Option::kRepeatPenalty, [](SamplerOptions& o) { o.repeat_penalty = 0; });
  expect(Option::kRepeatPenalty, [](SamplerOptions& o) { o.repeat_penalty = 1e9; });
  expect(Option::kTemperature, [kNan](SamplerOptions& o) { o.temperature = kNan; });
  expect(Option::kFrequencyPenalty, [](SamplerOptions& o) { o.frequency_penalty = 101; });
  expect(Option::kPresencePenalty, [kNan](SamplerOptions& o) { o.presence_penalty = kNan; });
  expect(Option::kLogitBiasToken, [](SamplerOptions& o) { o.logit_bias = {{5, 1.0f}}; });
  expect(Option::kLogitBias, [](SamplerOptions& o) { o.logit_bias = {{0, 2e6f}}; });
}

}  // namespace
}  // namespace sluice
