// Draft trees against a naive model: merging, the best nodes, the order of a pass, shared rows.
#include "runtime/speculate/draft_tree.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

using Path = std::vector<int32_t>;

Path PathOf(const DraftTree& tree, int32_t node) {
  Path path;
  for (; node != kDraftRoot; node = tree.nodes()[node].parent)
    path.insert(path.begin(), tree.nodes()[node].token);
  return path;
}

// Few tokens and few different survivals, so that merges and ties are frequent.
DraftTree RandomTree(std::mt19937* random, std::map<Path, double>* model = nullptr) {
  DraftTree tree;
  const int adds = static_cast<int>((*random)() % 40);
  for (int i = 0; i < adds; ++i) {
    const auto parent = static_cast<int32_t>((*random)() % (tree.size() + 1)) - 1;
    const auto token = static_cast<int32_t>((*random)() % 4);
    const double survival = static_cast<double>((*random)() % 6) / 5;
    const int32_t node = tree.Add(parent, token, survival, i % 3, i % 16);
    if (model == nullptr) continue;
    Path path = PathOf(tree, parent);
    const double parent_survival = path.empty() ? 1 : model->at(path);
    path.push_back(token);
    EXPECT_EQ(PathOf(tree, node), path);
    double& known = model->try_emplace(path, 0).first->second;
    known = std::max(known, std::min(survival, parent_survival));
  }
  return tree;
}

// The definition of best-first: the best of all nodes whose parents are chosen, `count` times.
// Nodes are (tree, index).
std::vector<std::pair<size_t, int32_t>> NaiveBest(absl::Span<const DraftTree* const> trees,
                                                  int64_t count) {
  std::vector<std::pair<size_t, int32_t>> chosen;
  const auto is_chosen = [&](size_t t, int32_t i) {
    return i == kDraftRoot ||
           std::find(chosen.begin(), chosen.end(), std::pair(t, i)) != chosen.end();
  };
  while (static_cast<int64_t>(chosen.size()) < count) {
    std::pair<size_t, int32_t> best = {0, -1};
    for (size_t t = 0; t < trees.size(); ++t) {
      for (int32_t i = 0; i < trees[t]->size(); ++i) {
        const DraftNode& node = trees[t]->nodes()[i];
        if (is_chosen(t, i) || !is_chosen(t, node.parent)) continue;
        if (best.second >= 0) {
          const DraftNode& other = trees[best.first]->nodes()[best.second];
          if (node.survival < other.survival) continue;
          if (node.survival == other.survival && node.depth >= other.depth) continue;
        }
        best = {t, i};
      }
    }
    if (best.second < 0) break;
    chosen.push_back(best);
  }
  return chosen;
}

void WalkNaively(const DraftTree& tree, const std::vector<int32_t>& keep, int32_t parent,
                 std::vector<Path>* order) {
  std::vector<int32_t> children;
  for (const int32_t node : keep)
    if (tree.nodes()[node].parent == parent) children.push_back(node);
  std::sort(children.begin(), children.end(), [&](int32_t a, int32_t b) {
    const DraftNode& left = tree.nodes()[a];
    const DraftNode& right = tree.nodes()[b];
    return left.survival != right.survival ? left.survival > right.survival
                                           : left.token < right.token;
  });
  for (const int32_t child : children) {
    order->push_back(PathOf(tree, child));
    WalkNaively(tree, keep, child, order);
  }
}

TEST(DraftTree, MergesPathsAndKeepsTheLargerSurvivalOfAPath) {
  std::mt19937 random(1);
  for (int round = 0; round < 10000; ++round) {
    std::map<Path, double> model;
    const DraftTree tree = RandomTree(&random, &model);
    ASSERT_EQ(tree.size(), static_cast<int64_t>(model.size()));
    for (int32_t i = 0; i < tree.size(); ++i) {
      const DraftNode& node = tree.nodes()[i];
      const Path path = PathOf(tree, i);
      ASSERT_EQ(node.survival, model.at(path));
      ASSERT_EQ(node.depth, static_cast<int32_t>(path.size()));
      ASSERT_LT(node.parent, i);
      ASSERT_LE(node.survival, tree.SurvivalOf(node.parent));
      ASSERT_EQ(tree.Find(node.parent, node.token), i);
      for (int32_t token = 0; token < 4; ++token) {
        Path longer = path;
        longer.push_back(token);
        ASSERT_EQ(tree.Find(i, token) >= 0, model.count(longer) == 1);
      }
    }
  }
}

TEST(DraftTree, KeepsTheFirstSourceAndCutsWhatIsNoProbability) {
  DraftTree tree;
  EXPECT_EQ(tree.Add(kDraftRoot, 7, 0.5, 1, 3), 0);
  EXPECT_EQ(tree.Add(kDraftRoot, 7, 0.75, 2, 4), 0);
  EXPECT_EQ(tree.nodes()[0].source, 1);
  EXPECT_EQ(tree.nodes()[0].bucket, 3);
  EXPECT_EQ(tree.nodes()[0].survival, 0.75);
  EXPECT_EQ(tree.SurvivalOf(tree.Add(kDraftRoot, 8, 1.5, 0, 0)), 1);
  EXPECT_EQ(tree.SurvivalOf(tree.Add(kDraftRoot, 9, -1, 0, 0)), 0);
  const double no_number = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(tree.SurvivalOf(tree.Add(kDraftRoot, 10, no_number, 0, 0)), 0);
  EXPECT_EQ(tree.Find(0, 7), -1);
  EXPECT_EQ(DraftTree().Find(kDraftRoot, 7), -1);
}

TEST(DraftTree, BestNodesAreTheOnesThatBestFirstSearchFinds) {
  std::mt19937 random(2);
  for (int round = 0; round < 3000; ++round) {
    const DraftTree tree = RandomTree(&random);
    const auto count = static_cast<int64_t>(random() % 45);
    const std::vector<int32_t> best = tree.Best(count);
    const DraftTree* const trees[] = {&tree};
    std::vector<int32_t> naive;
    for (const auto& [t, node] : NaiveBest(trees, count)) naive.push_back(node);
    ASSERT_EQ(best, naive);
  }
  EXPECT_TRUE(DraftTree().Best(3).empty());
  EXPECT_TRUE(RandomTree(&random).Best(-1).empty());
}

TEST(DraftTree, TrimsToDepthFirstOrderWithTheLikeliestPathFirst) {
  std::mt19937 random(3);
  for (int round = 0; round < 10000; ++round) {
    const DraftTree tree = RandomTree(&random);
    std::vector<int32_t> keep = tree.Best(static_cast<int64_t>(random() % 45));
    std::shuffle(keep.begin(), keep.end(), random);
    const DraftTree trimmed = tree.Trimmed(keep);
    std::vector<Path> expected;
    WalkNaively(tree, keep, kDraftRoot, &expected);
    ASSERT_EQ(trimmed.size(), static_cast<int64_t>(expected.size()));
    for (int32_t i = 0; i < trimmed.size(); ++i) {
      const DraftNode& node = trimmed.nodes()[i];
      ASSERT_EQ(PathOf(trimmed, i), expected[i]);
      ASSERT_LT(node.parent, i);
      ASSERT_EQ(trimmed.Find(node.parent, node.token), i);
      int32_t old = kDraftRoot;
      for (const int32_t token : expected[i]) old = tree.Find(old, token);
      ASSERT_EQ(node.survival, tree.nodes()[old].survival);
      ASSERT_EQ(node.source, tree.nodes()[old].source);
      ASSERT_EQ(node.bucket, tree.nodes()[old].bucket);
      ASSERT_EQ(node.depth, tree.nodes()[old].depth);
    }
    // The principal path lies at the front without a gap.
    int32_t i = 0;
    for (int32_t next; i < trimmed.size(); i = next) {
      next = i + 1;
      if (next == trimmed.size() || trimmed.nodes()[next].parent != i) break;
      ASSERT_EQ(trimmed.nodes()[next].depth, next + 1);
    }
  }
}

TEST(ShareRows, GivesEachTreeWhatBestFirstSearchOverAllGives) {
  std::mt19937 random(4);
  for (int round = 0; round < 300; ++round) {
    std::vector<DraftTree> trees;
    for (int t = 0; t < static_cast<int>(random() % 5); ++t) trees.push_back(RandomTree(&random));
    std::vector<const DraftTree*> pointers;
    for (const DraftTree& tree : trees) pointers.push_back(&tree);
    const auto rows = static_cast<int64_t>(random() % 100);
    const auto chosen = NaiveBest(pointers, rows);
    std::vector<int64_t> naive(trees.size(), 0);
    for (const auto& [t, node] : chosen) ++naive[t];
    ASSERT_EQ(ShareRows(pointers, rows), naive);
    // The counts and Best() name the same nodes.
    for (size_t t = 0; t < trees.size(); ++t) {
      for (const int32_t node : trees[t].Best(naive[t]))
        ASSERT_NE(std::find(chosen.begin(), chosen.end(), std::pair(t, node)), chosen.end());
    }
  }
  EXPECT_TRUE(ShareRows({}, 3).empty());
}

}  // namespace
}  // namespace sluice
