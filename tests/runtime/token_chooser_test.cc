// Choosing tokens: the parameters do what the API says, draws are reproducible and fair.
#include "runtime/sample/token_chooser.h"

#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

const std::vector<float> kLogits = {1.0f, 3.0f, 3.0f, 0.0f, -2.0f};

std::map<int32_t, int> Draw(const ChoiceParams& params, const std::vector<float>& logits, int n) {
  TokenChooser chooser(static_cast<int64_t>(logits.size()));
  std::map<int32_t, int> drawn;
  for (int position = 0; position < n; ++position)
    ++drawn[chooser.Choose(logits, params, {}, position)];
  return drawn;
}

TEST(TokenChooser, IsGreedyAtTemperatureZeroWithTheLowestIdFirst) {
  TokenChooser chooser(5);
  EXPECT_EQ(chooser.Choose(kLogits, {.temperature = 0}, {}, 3), 1);
  EXPECT_EQ(chooser.Choose(kLogits, {.temperature = 0, .logit_bias = {{2, 0.5f}}}, {}, 3), 2);
}

TEST(TokenChooser, PenalizesWhatWasGenerated) {
  TokenChooser chooser(5);
  const std::vector<int32_t> generated = {1, 2, 2, 1, 2};
  EXPECT_EQ(chooser.Choose(kLogits, {.temperature = 0, .frequency_penalty = 0.5}, generated, 3), 1);
  EXPECT_EQ(chooser.Choose(kLogits, {.temperature = 0, .frequency_penalty = 1.5}, generated, 3), 0);
  EXPECT_EQ(chooser.Choose(kLogits, {.temperature = 0, .presence_penalty = 1.9}, generated, 3), 1);
  EXPECT_EQ(chooser.Choose(kLogits,
                           {.temperature = 0, .presence_penalty = 2.0, .logit_bias = {{0, 0.1f}}},
                           generated, 3),
            0);
}

TEST(TokenChooser, DrawsInProportionToTheProbabilities) {
  constexpr int kDraws = 20000;
  for (const double temperature : {0.5, 1.0, 2.0}) {
    double sum = 0;
    for (const float logit : kLogits) sum += std::exp(logit / temperature);
    for (const auto& [id, count] : Draw({.temperature = temperature}, kLogits, kDraws)) {
      const double p = std::exp(kLogits[id] / temperature) / sum;
      // Five standard deviations of a binomial count.
      EXPECT_NEAR(count, kDraws * p, 5 * std::sqrt(kDraws * p * (1 - p)))
          << id << " at " << temperature;
    }
  }
}

TEST(TokenChooser, KeepsTheSmallestSetThatHasTheProbability) {
  // 0.456, 0.456, 0.062 and less.
  struct Case {
    double top_p;
    std::set<int32_t> kept;
  };
  for (const Case& c :
       {Case{0.1, {1}}, Case{0.6, {1, 2}}, Case{0.95, {0, 1, 2}}, Case{1.0, {0, 1, 2, 3, 4}}}) {
    std::set<int32_t> seen;
    for (const auto& [id, count] : Draw({.top_p = c.top_p}, kLogits, 5000)) seen.insert(id);
    EXPECT_EQ(seen, c.kept) << c.top_p;
  }
  // Flat: a nucleus wider than what is sorted first.
  const std::vector<float> flat(3000, 1.0f);
  const auto drawn = Draw({.top_p = 0.5}, flat, 1500);
  EXPECT_LT(drawn.rbegin()->first, 1501);
  EXPECT_GT(drawn.rbegin()->first, 1300);
}

TEST(TokenChooser, KeepsTheMostLikelyAndDropsTheUnlikely) {
  // At temperature 1, weights relative to the best: 0.135, 1, 1, 0.050, 0.007.
  struct Case {
    ChoiceParams params;
    std::set<int32_t> kept;
  };
  const Case cases[] = {{{.top_k = 1}, {1}},
                        {{.top_k = 2}, {1, 2}},
                        {{.top_k = 3}, {0, 1, 2}},
                        {{.top_k = 100}, {0, 1, 2, 3, 4}},
                        {{.min_p = 0.1}, {0, 1, 2}},
                        {{.min_p = 0.04}, {0, 1, 2, 3}},
                        {{.min_p = 1}, {1, 2}},
                        // 0.5 of what top_k leaves, 0.456 of all.
                        {{.top_p = 0.48, .top_k = 2}, {1}},
                        {{.top_p = 0.9, .top_k = 3}, {1, 2}},
                        {{.top_k = 3, .min_p = 0.5}, {1, 2}},
                        // The temperature comes first: 0.368 at 2 for what is 0.135 at 1.
                        {{.temperature = 2, .min_p = 0.3}, {0, 1, 2}}};
  for (const Case& c : cases) {
    std::set<int32_t> seen;
    for (const auto& [id, count] : Draw(c.params, kLogits, 5000)) seen.insert(id);
    EXPECT_EQ(seen, c.kept) << c.params.top_k << " " << c.params.min_p << " " << c.params.top_p;
  }
  for (const auto& [id, count] : Draw({.top_k = 2}, kLogits, 20000))
    EXPECT_NEAR(count, 10000, 400) << id;
}

TEST(TokenChooser, PenalizesRepetitionOfThePromptToo) {
  TokenChooser chooser(5);
  const std::vector<int32_t> prompt = {2, 2, 4}, generated = {1};
  const auto choose = [&](const ChoiceParams& params) {
    return chooser.Choose(kLogits, params, generated, 3, {}, prompt);
  };
  EXPECT_EQ(choose({.temperature = 0, .repetition_penalty = 2}), 1) << "3 / 2 for both, once each";
  EXPECT_EQ(choose({.temperature = 0, .repetition_penalty = 4}), 0);
  EXPECT_EQ(choose({.temperature = 0,
                    .logit_bias = {{1, -10}, {2, -10}, {0, -10}, {3, -10}},
                    .repetition_penalty = 4}),
            4)
      << "-8 beside -9 and less, which are multiplied";
  EXPECT_TRUE(CheckChoiceParams({.top_k = 5, .min_p = 0.5, .repetition_penalty = 1.1}, 5).ok());
  for (const ChoiceParams& wrong :
       {ChoiceParams{.top_k = -1}, ChoiceParams{.min_p = 1.5}, ChoiceParams{.min_p = NAN},
        ChoiceParams{.repetition_penalty = 0}, ChoiceParams{.repetition_penalty = 1e9}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckChoiceParams(wrong, 5)));
  }
}

TEST(TokenChooser, DrawsDependOnSeedAndPositionAlone) {
  TokenChooser a(5), b(5);
  std::vector<int32_t> forwards, backwards;
  for (int i = 0; i < 50; ++i) forwards.push_back(a.Choose(kLogits, {.seed = 9}, {}, i));
  for (int i = 49; i >= 0; --i)
    backwards.insert(backwards.begin(), b.Choose(kLogits, {.seed = 9}, {}, i));
  EXPECT_EQ(forwards, backwards);
  std::vector<int32_t> other;
  for (int i = 0; i < 50; ++i) other.push_back(a.Choose(kLogits, {.seed = 10}, {}, i));
  EXPECT_NE(forwards, other);
}

TEST(TokenChooser, RefusesParametersOutsideTheirRange) {
  EXPECT_TRUE(CheckChoiceParams({}, 5).ok());
  for (const ChoiceParams& params :
       {ChoiceParams{.temperature = -0.1}, ChoiceParams{.temperature = 2.5},
        ChoiceParams{.temperature = NAN}, ChoiceParams{.top_p = 0}, ChoiceParams{.top_p = 1.5},
        ChoiceParams{.frequency_penalty = 3}, ChoiceParams{.presence_penalty = NAN},
        ChoiceParams{.logit_bias = {{5, 1.0f}}}, ChoiceParams{.logit_bias = {{0, 101.0f}}}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckChoiceParams(params, 5)));
  }
}

}  // namespace
}  // namespace sluice
