// The suffix drafter: what it proposes really followed, long repeats give long chains, and its
// memory is bounded.
#include "runtime/speculate/suffix_drafter.h"

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

using Text = std::vector<int32_t>;

Text SomeText(std::mt19937* random, int64_t length, int32_t below) {
  Text text(length);
  for (int32_t& token : text) token = static_cast<int32_t>((*random)() % below);
  return text;
}

class SuffixDrafterTest : public testing::Test {
 protected:
  DraftTree Propose(SuffixDrafter* drafter, int64_t sequence, const DraftLimits& limits = {}) {
    DraftTree tree;
    EXPECT_TRUE(drafter->Propose(sequence, limits, &tree).ok());
    return tree.Trimmed(tree.Best(tree.size()));
  }

  // The tokens of the likeliest path.
  static Text Principal(const DraftTree& tree) {
    Text path;
    for (int32_t i = 0; i < tree.size() && tree.nodes()[i].parent == i - 1; ++i)
      path.push_back(tree.nodes()[i].token);
    return path;
  }

  Calibration calibration_{{SuffixDrafter::InitialRates(), SuffixDrafter::InitialRates()}};
};

// The followers of the longest suffix that occurred earlier, and those of its last token.
struct EarlierMatch {
  size_t length = 0;
  std::set<int32_t> followers;
  std::set<int32_t> followers_of_one;
};

EarlierMatch SearchNaively(const Text& text) {
  EarlierMatch match;
  for (size_t other = 1; other < text.size(); ++other) {
    size_t length = 0;
    while (length < other && text[other - 1 - length] == text[text.size() - 1 - length]) ++length;
    if (length == 0) continue;
    if (length > match.length) match.followers.clear();
    match.length = std::max(match.length, length);
    if (length == match.length) match.followers.insert(text[other]);
    match.followers_of_one.insert(text[other]);
  }
  return match;
}

TEST_F(SuffixDrafterTest, ProposesFirstWhatFollowedTheLongestEarlierMatch) {
  std::mt19937 random(1);
  int64_t proposals = 0;
  for (int round = 0; round < 120; ++round) {
    const Text text = SomeText(&random, 80, static_cast<int32_t>(2 + random() % 7));
    SuffixDrafter drafter({}, &calibration_);
    Text known;
    for (const int32_t token : text) {
      known.push_back(token);
      drafter.Observe(1, {token});
      const EarlierMatch match = SearchNaively(known);
      const DraftTree tree = Propose(&drafter, 1, {.max_nodes = 24, .max_depth = 3});
      ASSERT_EQ(tree.size() == 0, match.length == 0);
      if (tree.size() == 0) continue;
      ++proposals;
      ASSERT_TRUE(match.followers.contains(tree.nodes()[0].token)) << "after " << known.size();
      for (const DraftNode& node : tree.nodes()) {
        if (node.depth > 1) continue;
        ASSERT_TRUE(match.followers_of_one.contains(node.token));
      }
      for (const int32_t token : match.followers) ASSERT_GE(tree.Find(kDraftRoot, token), 0);
    }
  }
  EXPECT_GT(proposals, 6000);
}

TEST_F(SuffixDrafterTest, LetsNoShortSuffixOutvoteTheLongestOne) {
  SuffixDrafter drafter({}, &calibration_);
  for (int32_t i = 0; i < 30; ++i) drafter.Observe(1, {100 + i, 1, 9});
  for (const int32_t token : {15, 16, 17, 18}) drafter.Observe(1, {2, 1, token});
  drafter.Observe(1, {2, 1});
  const DraftTree tree = Propose(&drafter, 1, {.max_depth = 1});
  ASSERT_EQ(tree.size(), 5);
  EXPECT_GE(tree.nodes()[0].token, 15) << "9 followed 1 thirty times, but never 2 and 1";
}

TEST_F(SuffixDrafterTest, PutsTheMoreFrequentFollowerFirstWithinABucket) {
  SuffixDrafter drafter({}, &calibration_);
  for (int32_t i = 0; i < 11; ++i) drafter.Observe(1, {100 + i, 1, i % 2 == 0 ? 9 : 5});
  drafter.Observe(1, {200, 1});
  const DraftTree tree = Propose(&drafter, 1, {.max_depth = 1});
  ASSERT_EQ(tree.size(), 2);
  EXPECT_EQ(tree.nodes()[0].bucket, tree.nodes()[1].bucket);
  EXPECT_EQ(tree.nodes()[0].token, 9) << "6 times, and 5 came 5 times";
}

TEST_F(SuffixDrafterTest, KeepsTheLimitsAndItsSurvivalIsAProbability) {
  std::mt19937 random(2);
  SuffixDrafter drafter({}, &calibration_);
  drafter.Observe(1, SomeText(&random, 3000, 6));
  for (const int64_t max_nodes : {0, 1, 5, 64, 300}) {
    for (const int32_t max_depth : {0, 1, 2, 16}) {
      const DraftTree tree = Propose(&drafter, 1, {.max_nodes = max_nodes, .max_depth = max_depth});
      EXPECT_LE(tree.size(), max_nodes);
      EXPECT_EQ(tree.size() == 0, max_nodes == 0 || max_depth == 0);
      double first_level = 0;
      for (const DraftNode& node : tree.nodes()) {
        EXPECT_LE(node.depth, max_depth);
        EXPECT_GT(node.survival, 0);
        EXPECT_LT(node.survival, tree.SurvivalOf(node.parent));
        if (node.depth == 1) first_level += node.survival;
      }
      EXPECT_LE(first_level, 1.3) << "each rate is that of a bucket, so the sum is near 1 at most";
    }
  }
}

TEST_F(SuffixDrafterTest, FollowsALongRepeat) {
  std::mt19937 random(3);
  const Text quoted = SomeText(&random, 500, 1000);
  SuffixDrafter drafter({}, &calibration_);
  drafter.Observe(1, quoted);
  drafter.Observe(1, {2000});
  drafter.Observe(1, absl::MakeConstSpan(quoted).subspan(100, 20));
  const Text expected(quoted.begin() + 120, quoted.begin() + 160);
  EXPECT_EQ(Principal(Propose(&drafter, 1, {.max_nodes = 64, .max_depth = 40})), expected);
}

TEST_F(SuffixDrafterTest, GoesOnWithThePeriodBehindTheEndOfTheText) {
  SuffixDrafter drafter({}, &calibration_);
  for (int i = 0; i < 6; ++i) drafter.Observe(1, {1, 2, 3});
  EXPECT_EQ(Principal(Propose(&drafter, 1, {.max_nodes = 30, .max_depth = 7})),
            (Text{1, 2, 3, 1, 2, 3, 1}));
}

TEST_F(SuffixDrafterTest, KnowsNothingOfNewTokensAndOtherSequences) {
  SuffixDrafter drafter({}, &calibration_);
  EXPECT_EQ(Propose(&drafter, 1).size(), 0);
  drafter.Observe(1, {});
  EXPECT_EQ(Propose(&drafter, 1).size(), 0);
  drafter.Observe(1, {1, 2, 3, 1});
  EXPECT_EQ(Principal(Propose(&drafter, 1, {.max_depth = 2})), (Text{2, 3}));
  drafter.Observe(1, {9});
  EXPECT_EQ(Propose(&drafter, 1).size(), 0) << "9 never occurred before";
  drafter.Observe(2, {1});
  EXPECT_EQ(Propose(&drafter, 2).size(), 0) << "another sequence's text";
  drafter.Forget(1);
  drafter.Forget(1);
  drafter.Observe(1, {1});
  EXPECT_EQ(Propose(&drafter, 1).size(), 0) << "forgotten";
}

TEST_F(SuffixDrafterTest, LearnsFinishedTextsForAllSequencesButNoBordersBetweenThem) {
  SuffixDrafter drafter({.source = 0, .shared_source = 1}, &calibration_);
  drafter.Observe(7, {4, 5});  // it stands in the learned texts as they grow
  drafter.Learn({1, 2, 3, 4, 5});
  drafter.Learn({6, 7, 5});
  drafter.Learn({});
  drafter.Observe(1, {2, 3});
  const DraftTree tree = Propose(&drafter, 1);
  EXPECT_EQ(Principal(tree), (Text{4, 5})) << "5 ended its text, 6 did not follow it";
  EXPECT_EQ(tree.nodes()[0].source, 1);
  drafter.Observe(1, {8, 2, 3});
  const DraftTree own_first = Propose(&drafter, 1);
  EXPECT_EQ(own_first.nodes()[own_first.Find(kDraftRoot, 8)].source, 0);
  EXPECT_EQ(own_first.nodes()[own_first.Find(kDraftRoot, 4)].source, 1);
  drafter.Observe(7, {6, 7});
  EXPECT_EQ(Principal(Propose(&drafter, 7, {.max_depth = 1})), (Text{5}));
}

TEST_F(SuffixDrafterTest, TakesNoSuffixForLongerWhenTheLearnedTextsGrow) {
  SuffixDrafter drafter({}, &calibration_);
  drafter.Learn({1, 2, 3});
  drafter.Observe(1, {3});  // stands where 1, 2, 3 does
  drafter.Learn({2, 3, 8, 6});
  drafter.Learn({9, 3, 8, 7});
  drafter.Learn({10, 3, 8, 7});
  drafter.Observe(1, {8});
  EXPECT_EQ(Principal(Propose(&drafter, 1, {.max_depth = 1})), Text{7})
      << "7 followed 3 and 8 twice; 6 followed 2, 3 and 8";
}

TEST_F(SuffixDrafterTest, RemembersNoMoreThanItMayAndStillProposes) {
  std::mt19937 random(4);
  const SuffixDrafterOptions options = {.max_sequence_tokens = 1000, .max_shared_tokens = 500};
  SuffixDrafter drafter(options, &calibration_);
  const Text text = SomeText(&random, 900, 300);
  drafter.Observe(1, text);
  for (int i = 0; i < 10; ++i) {
    drafter.Learn(SomeText(&random, 400, 2));
    drafter.Observe(1, SomeText(&random, 400, 300));
    drafter.Observe(2, SomeText(&random, 400, 2));
    EXPECT_LE(drafter.MemoryBytes(), SuffixDrafter::MaxMemoryBytes(options, 2));
  }
  // The first 1000 tokens are still known, and a match with them is still followed.
  drafter.Observe(1, absl::MakeConstSpan(text).subspan(200, 10));
  EXPECT_EQ(Principal(Propose(&drafter, 1, {.max_depth = 5})),
            Text(text.begin() + 210, text.begin() + 215));
  // Forgetting makes room.
  drafter.Forget(1);
  const int64_t before = drafter.MemoryBytes();
  drafter.Observe(3, SomeText(&random, 900, 300));
  EXPECT_GT(drafter.MemoryBytes(), before + 900 * 30);
  drafter.Observe(3, SomeText(&random, 5000, 300));
  EXPECT_LE(drafter.MemoryBytes(), SuffixDrafter::MaxMemoryBytes(options, 2));
}

// The whole loop of an engine over a text that quotes itself with changes.
TEST_F(SuffixDrafterTest, GivesSeveralTokensAPassWhereATextIsEdited) {
  std::mt19937 random(5);
  const Text original = SomeText(&random, 1500, 400);
  Text answer = original;
  for (int32_t& token : answer)
    if (random() % 25 == 0) token = static_cast<int32_t>(random() % 400);
  SuffixDrafter drafter({}, &calibration_);
  drafter.Observe(1, original);
  int64_t passes = 0;
  for (size_t position = 0; position < answer.size(); ++passes) {
    const DraftTree tree = Propose(&drafter, 1, {.max_nodes = 32, .max_depth = 16});
    const size_t first = position;
    int32_t reached = kDraftRoot;
    do {
      reached = tree.Find(reached, answer[position++]);
    } while (reached >= 0 && position < answer.size());
    const auto drawn = absl::MakeConstSpan(answer).subspan(first, position - first);
    NoteWalk(tree, drawn, &calibration_);
    drafter.Observe(1, drawn);
  }
  EXPECT_GT(static_cast<double>(answer.size()) / static_cast<double>(passes), 6);
}

}  // namespace
}  // namespace sluice
