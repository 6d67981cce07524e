// The replay drafter: errors as often as told, at the same places in every run.
#include "runtime/speculate/replay_drafter.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

std::vector<int32_t> Numbers(int64_t count, int32_t below) {
  std::mt19937 random(5);
  std::vector<int32_t> numbers(count);
  for (int32_t& number : numbers) number = static_cast<int32_t>(random() % below);
  return numbers;
}

std::vector<int32_t> Chain(const DraftTree& tree) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < tree.size(); ++i) {
    EXPECT_EQ(tree.nodes()[i].parent, i - 1);
    tokens.push_back(tree.nodes()[i].token);
  }
  return tokens;
}

std::vector<int32_t> Proposed(ReplayDrafter* drafter, int32_t depth, int64_t nodes = 1 << 20) {
  DraftTree tree;
  EXPECT_TRUE(drafter->Propose(1, {.max_nodes = nodes, .max_depth = depth}, &tree).ok());
  return Chain(tree);
}

TEST(ReplayDrafter, IsWrongAsOftenAsToldAndAtTheSamePlaces) {
  constexpr int64_t kTokens = 20000;
  for (const int32_t vocab : {2, 7, 50000}) {
    const std::vector<int32_t> answer = Numbers(kTokens, vocab);
    for (const double error : {0.0, 0.1, 0.4, 1.0}) {
      ReplayDrafter drafter({.error_probability = error, .seed = 3, .vocab_size = vocab});
      drafter.Record(1, 0, answer);
      const std::vector<int32_t> first = Proposed(&drafter, kTokens);
      ASSERT_EQ(first.size(), kTokens);
      int64_t wrong = 0;
      for (int64_t i = 0; i < kTokens; ++i) {
        ASSERT_GE(first[i], 0);
        ASSERT_LT(first[i], vocab);
        wrong += first[i] != answer[i];
      }
      // The bound: more than 4 standard deviations of a share of 20000.
      EXPECT_NEAR(static_cast<double>(wrong) / kTokens, error, 0.015);
      ReplayDrafter again({.error_probability = error, .seed = 3, .vocab_size = vocab});
      again.Record(1, 0, answer);
      EXPECT_EQ(Proposed(&again, kTokens), first);
      // What a position proposes does not depend on where the chain begins.
      again.Observe(1, absl::MakeConstSpan(answer).first(100));
      EXPECT_EQ(Proposed(&again, 50),
                std::vector<int32_t>(first.begin() + 100, first.begin() + 150));
      ReplayDrafter other({.error_probability = error, .seed = 4, .vocab_size = vocab});
      other.Record(1, 0, answer);
      EXPECT_EQ(Proposed(&other, kTokens) == first, error == 0 || (error == 1 && vocab == 2));
    }
  }
}

TEST(ReplayDrafter, SaysHowManyTokensAPassCanAccept) {
  const std::vector<int32_t> answer = Numbers(500, 100);
  ReplayDrafter drafter({.error_probability = 0.2, .seed = 9, .vocab_size = 100});
  drafter.Record(1, 3, answer);
  drafter.Observe(1, {100, 101, 102});
  int64_t at_most_6 = 0;
  for (int64_t position = 0; position < 500; ++position) {
    const std::vector<int32_t> chain = Proposed(&drafter, 6);
    ASSERT_EQ(chain.size(), std::min<size_t>(6, 500 - position));
    int64_t right = 0;
    while (right < static_cast<int64_t>(chain.size()) && chain[right] == answer[position + right])
      ++right;
    ASSERT_EQ(drafter.ExpectedAccepted(1, position, 6), right);
    at_most_6 += right;
    drafter.Observe(1, absl::MakeConstSpan(answer).subspan(position, 1));
  }
  // (0.8 - 0.8^7) / 0.2; the bound is about 4 standard deviations of a mean over 500 positions,
  // of which 6 each see the same errors.
  EXPECT_NEAR(static_cast<double>(at_most_6) / 500, 2.95, 0.7);
  EXPECT_TRUE(Proposed(&drafter, 6).empty()) << "the answer has ended";
  EXPECT_EQ(drafter.ExpectedAccepted(1, 500, 6), 0);
  EXPECT_EQ(drafter.ExpectedAccepted(2, 0, 6), 0);
}

TEST(ReplayDrafter, HoldsTheLimitsAndStatesItsSurvival) {
  ReplayDrafter drafter({.error_probability = 0.25, .vocab_size = 10, .source = 2});
  drafter.Record(1, 2, Numbers(50, 10));
  drafter.Observe(1, {1});
  EXPECT_TRUE(Proposed(&drafter, 6).empty()) << "within the prompt";
  drafter.Observe(1, {1});
  EXPECT_EQ(Proposed(&drafter, 6, 4).size(), 4);
  EXPECT_TRUE(Proposed(&drafter, 0).empty());
  DraftTree tree;
  ASSERT_TRUE(drafter.Propose(1, {.max_depth = 2}, &tree).ok());
  ASSERT_EQ(tree.size(), 2);
  EXPECT_DOUBLE_EQ(tree.nodes()[1].survival, 0.75 * 0.75);
  EXPECT_EQ(tree.nodes()[1].source, 2);
}

TEST(ReplayDrafter, ReportsAMissingAndADifferentAnswer) {
  ReplayDrafter drafter({.vocab_size = 10});
  DraftTree tree;
  drafter.Observe(1, {1, 2});
  EXPECT_EQ(drafter.Propose(1, {}, &tree).code(), absl::StatusCode::kNotFound);
  drafter.Record(1, 2, {5, 6, 7, 8});
  drafter.Observe(1, {1, 2, 5, 9, 7});
  const absl::Status different = drafter.Propose(1, {}, &tree);
  EXPECT_EQ(different.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(different.message().find("at 1 of its answer"), std::string::npos) << different;
  EXPECT_EQ(tree.size(), 0);
  drafter.Forget(1);
  drafter.Forget(1);
  EXPECT_EQ(drafter.Propose(1, {}, &tree).code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace sluice
