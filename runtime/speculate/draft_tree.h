// A prefix tree of the tokens that drafters propose for one sequence.
#ifndef SLUICE_RUNTIME_SPECULATE_DRAFT_TREE_H_
#define SLUICE_RUNTIME_SPECULATE_DRAFT_TREE_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"

namespace sluice {

// The parent of a tree's first level: the last known token of the sequence, which is no node.
inline constexpr int32_t kDraftRoot = -1;

struct DraftNode {
  int32_t parent;   // the index of a node, or kDraftRoot
  int32_t token;    // an id of the target's vocabulary
  int32_t depth;    // 1 for the children of the root
  double survival;  // the estimated probability that the sequence goes on through this node
  int8_t source;    // the drafter that proposed the node first
  int8_t bucket;    // that drafter's confidence in the node; see Calibration
};

// Several drafters may add to one tree: a path that is there already is not added again.
// Invariants: a parent's index is below its children's, its survival is at least theirs, and no
// two children of one node have the same token.
class DraftTree {
 public:
  // Adds `token` behind `parent`, which is a node or kDraftRoot, and returns its index. `survival`
  // is cut to the range from 0 to the parent's survival (the root's is 1). Where the parent has
  // a child with this token, that child's index is returned; the larger survival then counts, and
  // source and bucket stay.
  int32_t Add(int32_t parent, int32_t token, double survival, int source, int bucket);

  // Returns the child of `parent` with this token, or -1.
  int32_t Find(int32_t parent, int32_t token) const;

  // The view and its indices are valid until the next Add(); indices never change.
  absl::Span<const DraftNode> nodes() const { return nodes_; }
  int64_t size() const { return static_cast<int64_t>(nodes_.size()); }
  double SurvivalOf(int32_t node) const { return node == kDraftRoot ? 1 : nodes_[node].survival; }
  int32_t DepthOf(int32_t node) const { return node == kDraftRoot ? 0 : nodes_[node].depth; }

  // Returns the `count` nodes of the highest survival, highest first, or all nodes where there are
  // fewer. Of equal ones the shallower goes first, then the lower index. A parent always precedes
  // its children, so the nodes are a tree.
  std::vector<int32_t> Best(int64_t count) const;

  // Returns a tree of the nodes `keep`, in any order, each of them once and with its parent.
  // The new tree is ordered as a pass needs it: depth first, and among siblings the likeliest
  // first (of equally likely ones the lower token id). So its first nodes are the principal path,
  // and each node's descendants follow it without a gap.
  DraftTree Trimmed(absl::Span<const int32_t> keep) const;

 private:
  static uint64_t KeyOf(int32_t parent, int32_t token) {
    return static_cast<uint64_t>(static_cast<uint32_t>(parent)) << 32 |
           static_cast<uint32_t>(token);
  }

  std::vector<DraftNode> nodes_;
  absl::flat_hash_map<uint64_t, int32_t> children_;  // by KeyOf(parent, token)
};

// Shares out `rows` rows of a pass over several trees, and returns the number of rows for each
// tree: those of the nodes of the highest survival among all trees. Of equal ones the shallower
// goes first, then the one of the earlier tree. Best() names the nodes that a tree's rows are for.
std::vector<int64_t> ShareRows(absl::Span<const DraftTree* const> trees, int64_t rows);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SPECULATE_DRAFT_TREE_H_
