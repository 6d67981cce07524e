// Survival never grows from a parent to its child, so the best nodes are found by sorting.
#include "runtime/speculate/draft_tree.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "absl/base/macros.h"

namespace sluice {
namespace {

// A node's place in the order in which the trees of a pass compete for rows.
struct RowClaim {
  double survival;
  int32_t depth;
  int32_t tree;

  bool operator<(const RowClaim& other) const {
    return std::tie(other.survival, depth, tree) < std::tie(survival, other.depth, other.tree);
  }
};

}  // namespace

int32_t DraftTree::Add(int32_t parent, int32_t token, double survival, int source, int bucket) {
  ABSL_ASSERT(parent >= kDraftRoot && parent < size());
  // A survival that is not a number becomes 0.
  const double cut = survival > 0 ? std::min(survival, SurvivalOf(parent)) : 0;
  const auto [place, is_new] =
      children_.try_emplace(KeyOf(parent, token), static_cast<int32_t>(nodes_.size()));
  if (is_new) {
    nodes_.push_back({parent, token, DepthOf(parent) + 1, cut, static_cast<int8_t>(source),
                      static_cast<int8_t>(bucket)});
  } else {
    DraftNode& node = nodes_[place->second];
    node.survival = std::max(node.survival, cut);
  }
  return place->second;
}

int32_t DraftTree::Find(int32_t parent, int32_t token) const {
  const auto found = children_.find(KeyOf(parent, token));
  return found == children_.end() ? -1 : found->second;
}

std::vector<int32_t> DraftTree::Best(int64_t count) const {
  std::vector<int32_t> order(nodes_.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [this](int32_t a, int32_t b) {
    const DraftNode& left = nodes_[a];
    const DraftNode& right = nodes_[b];
    return std::tie(right.survival, left.depth, a) < std::tie(left.survival, right.depth, b);
  });
  order.resize(std::clamp<int64_t>(count, 0, size()));
  return order;
}

DraftTree DraftTree::Trimmed(absl::Span<const int32_t> keep) const {
  // Siblings are brought together, and the likeliest of them comes last: a stack turns them round.
  std::vector<int32_t> order(keep.begin(), keep.end());
  std::sort(order.begin(), order.end(), [this](int32_t a, int32_t b) {
    const DraftNode& left = nodes_[a];
    const DraftNode& right = nodes_[b];
    return std::tie(left.parent, left.survival, right.token) <
           std::tie(right.parent, right.survival, left.token);
  });
  struct Siblings {
    size_t begin = 0;
    size_t end = 0;
  };
  std::vector<Siblings> siblings(nodes_.size() + 1);  // by parent + 1: the root is -1
  for (size_t i = 0; i < order.size(); ++i) {
    Siblings& of_parent = siblings[nodes_[order[i]].parent + 1];
    if (of_parent.end == 0) of_parent.begin = i;
    of_parent.end = i + 1;
  }
  struct Visit {
    int32_t node;
    int32_t new_parent;
  };
  std::vector<Visit> stack;
  const auto push_children = [&](int32_t node, int32_t new_node) {
    const Siblings& children = siblings[node + 1];
    for (size_t i = children.begin; i < children.end; ++i) stack.push_back({order[i], new_node});
  };

  DraftTree trimmed;
  trimmed.nodes_.reserve(keep.size());
  trimmed.children_.reserve(keep.size());
  push_children(kDraftRoot, kDraftRoot);
  while (!stack.empty()) {
    const Visit visit = stack.back();
    stack.pop_back();
    const DraftNode& node = nodes_[visit.node];
    const int32_t new_node =
        trimmed.Add(visit.new_parent, node.token, node.survival, node.source, node.bucket);
    push_children(visit.node, new_node);
  }
  ABSL_ASSERT(trimmed.size() == static_cast<int64_t>(keep.size()));
  return trimmed;
}

std::vector<int64_t> ShareRows(absl::Span<const DraftTree* const> trees, int64_t rows) {
  std::vector<RowClaim> claims;
  for (size_t t = 0; t < trees.size(); ++t)
    for (const DraftNode& node : trees[t]->nodes())
      claims.push_back({node.survival, node.depth, static_cast<int32_t>(t)});
  const int64_t granted = std::clamp<int64_t>(rows, 0, static_cast<int64_t>(claims.size()));
  if (granted < static_cast<int64_t>(claims.size()))
    std::nth_element(claims.begin(), claims.begin() + granted, claims.end());
  std::vector<int64_t> counts(trees.size(), 0);
  for (int64_t i = 0; i < granted; ++i) ++counts[claims[i].tree];
  return counts;
}

}  // namespace sluice
