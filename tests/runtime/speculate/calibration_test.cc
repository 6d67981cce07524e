// Step rates: they begin at the priors, reach what is true, and follow where it changes.
#include "runtime/speculate/calibration.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

Calibration::Priors Flat(double rate) {
  Calibration::Priors priors;
  priors.fill(rate);
  return priors;
}

void NoteMany(Calibration* calibration, int bucket, int depth, double rate, int count) {
  std::mt19937 random(count);
  std::bernoulli_distribution accepted(rate);
  for (int i = 0; i < count; ++i) calibration->Note(0, bucket, depth, accepted(random));
}

TEST(Calibration, BeginsAtThePriorsOfEachSource) {
  Calibration::Priors second = Flat(0.2);
  second[15] = 1;
  second[0] = 0;
  const Calibration calibration({Flat(0.6), second});
  EXPECT_EQ(calibration.num_sources(), 2);
  for (const int depth : {1, 2, 10, 11, 64, 65, 100000}) {
    EXPECT_DOUBLE_EQ(calibration.Rate(0, 3, depth), 0.6);
    EXPECT_DOUBLE_EQ(calibration.Rate(1, 3, depth), 0.2);
    EXPECT_LT(calibration.Rate(1, 15, depth), 1) << "nothing is certain";
    EXPECT_GT(calibration.Rate(1, 0, depth), 0);
  }
}

// The bound: over the 128 to 256 nodes that count, the standard deviation is at most 0.044.
TEST(Calibration, ReachesTheTrueRateAndFollowsItsChange) {
  for (const double rate : {0.05, 0.5, 0.9}) {
    Calibration calibration({Flat(0.5)});
    NoteMany(&calibration, 4, 2, rate, 5000);
    EXPECT_NEAR(calibration.Rate(0, 4, 2), rate, 0.1);
    NoteMany(&calibration, 4, 2, 1 - rate, 600);
    EXPECT_NEAR(calibration.Rate(0, 4, 2), 1 - rate, 0.15) << "600 nodes after 5000";
  }
}

TEST(Calibration, TellsDepthsApartOnceTheyAreJudgedAndElseKnowsTheBucket) {
  Calibration calibration({Flat(0.5), Flat(0.5)});
  NoteMany(&calibration, 4, 1, 0.9, 400);
  EXPECT_NEAR(calibration.Rate(0, 4, 7), 0.9, 0.1) << "no node of depth 7 was judged";
  NoteMany(&calibration, 4, 7, 0.3, 400);
  EXPECT_NEAR(calibration.Rate(0, 4, 7), 0.3, 0.1);
  EXPECT_NEAR(calibration.Rate(0, 4, 1), 0.9, 0.1);
  EXPECT_DOUBLE_EQ(calibration.Rate(0, 5, 1), 0.5) << "another bucket";
  EXPECT_DOUBLE_EQ(calibration.Rate(1, 4, 1), 0.5) << "another source";
}

TEST(Calibration, MovesLittleByOneNode) {
  Calibration calibration({Flat(0.5)});
  calibration.Note(0, 4, 1, true);
  EXPECT_GT(calibration.Rate(0, 4, 1), 0.5);
  EXPECT_LT(calibration.Rate(0, 4, 1), 0.7);
}

// Buckets tell the nodes apart: a node's rate moves where it was judged.
//   1 -+- 2 --- 3
//      +- 4
//   5 ----- 6
TEST(NoteWalk, JudgesTheChildrenOfReachedNodesOnly) {
  DraftTree tree;
  const int32_t one = tree.Add(kDraftRoot, 1, 0.9, 0, 1);
  const int32_t two = tree.Add(one, 2, 0.8, 0, 2);
  tree.Add(two, 3, 0.7, 0, 3);
  tree.Add(one, 4, 0.1, 0, 4);
  const int32_t five = tree.Add(kDraftRoot, 5, 0.1, 0, 5);
  tree.Add(five, 6, 0.1, 0, 6);
  struct Case {
    std::vector<int32_t> tokens;
    std::vector<int> moves;  // of nodes 1 to 6: accepted 1, rejected -1, not judged 0
  };
  const Case cases[] = {
      {{}, {0, 0, 0, 0, 0, 0}},
      {{1}, {1, 0, 0, 0, -1, 0}},  // the sequence ended with an accepted token
      {{1, 2, 9}, {1, 1, -1, -1, -1, 0}},
      {{1, 2, 3, 9}, {1, 1, 1, -1, -1, 0}},
      {{1, 9}, {1, -1, 0, -1, -1, 0}},
      {{5, 7}, {-1, 0, 0, 0, 1, -1}},
      {{9}, {-1, 0, 0, 0, -1, 0}},
  };
  for (const Case& c : cases) {
    Calibration calibration({Flat(0.5)});
    NoteWalk(tree, c.tokens, &calibration);
    for (int node = 1; node <= 6; ++node) {
      const double rate = calibration.Rate(0, node, tree.nodes()[node - 1].depth);
      EXPECT_EQ((rate > 0.5) - (rate < 0.5), c.moves[node - 1])
          << "node " << node << " after " << c.tokens.size() << " tokens";
    }
  }
}

}  // namespace
}  // namespace sluice
