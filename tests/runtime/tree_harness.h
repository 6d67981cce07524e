// Trees of rows in a pass, held against a chain for each of their paths.
#ifndef SLUICE_TESTS_RUNTIME_TREE_HARNESS_H_
#define SLUICE_TESTS_RUNTIME_TREE_HARNESS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "runtime/kv/kv_rows.h"
#include "runtime/pass/model.h"

namespace sluice {

// A node of a random tree; node 0 is the root.
struct TreeNode {
  int32_t parent;  // -1: the root
  int64_t depth;
  int32_t token;
};

// A tree of `size` nodes in depth-first order, at most `most_depth` deep.
inline std::vector<TreeNode> RandomTree(std::mt19937& random, int64_t size, int64_t most_depth,
                                        int32_t vocab_size) {
  std::vector<TreeNode> tree = {{-1, 0, static_cast<int32_t>(random() % vocab_size)}};
  while (static_cast<int64_t>(tree.size()) < size) {
    // Behind the last node, or behind one of its ancestors.
    auto parent = static_cast<int32_t>(tree.size() - 1);
    while (parent > 0 && (tree[parent].depth >= most_depth || random() % 3 == 0)) {
      parent = tree[parent].parent;
    }
    tree.push_back({parent, tree[parent].depth + 1, static_cast<int32_t>(random() % vocab_size)});
  }
  return tree;
}

// The tokens from the root to `node`.
inline std::vector<int32_t> PathTo(const std::vector<TreeNode>& tree, int32_t node) {
  std::vector<int32_t> tokens;
  for (; node >= 0; node = tree[node].parent) tokens.push_back(tree[node].token);
  std::reverse(tokens.begin(), tokens.end());
  return tokens;
}

// Rows of the tree behind `known` positions. `seen` is what they see, for as long as they are used.
inline void AddRows(const std::vector<TreeNode>& tree, const KvSequence* sequence, int64_t known,
                    std::vector<std::vector<int64_t>>* seen, std::vector<PassRow>* rows) {
  seen->resize(tree.size());
  for (size_t i = 0; i < tree.size(); ++i) {
    std::vector<int64_t>& sees = (*seen)[i];
    for (int32_t up = tree[i].parent; up >= 0; up = tree[up].parent) sees.push_back(known + up);
    std::reverse(sees.begin(), sees.end());
    rows->push_back({.sequence = sequence,
                     .position = known + tree[i].depth,
                     .token = tree[i].token,
                     .wants_logits = true,
                     .slot = known + static_cast<int64_t>(i),
                     .sees = sees});
  }
}

// Runs `tokens` from position `first` on and returns the logits of the last one.
inline std::vector<float> RunChain(Model& model, const KvSequence& sequence, int64_t first,
                                   const std::vector<int32_t>& tokens) {
  std::vector<float> last;
  for (size_t done = 0; done < tokens.size();) {
    std::vector<PassRow> rows;
    for (; done < tokens.size() && static_cast<int64_t>(rows.size()) < model.plan().pass_rows;
         ++done) {
      rows.push_back(
          {&sequence, first + static_cast<int64_t>(done), tokens[done], done + 1 == tokens.size()});
    }
    const auto logits = model.RunPass(rows);
    EXPECT_TRUE(logits.ok()) << logits.status();
    if (!logits.ok()) return {};
    last.assign(logits->begin(), logits->end());
  }
  return last;
}

inline std::vector<int32_t> RandomTokens(std::mt19937& random, int64_t count, int32_t vocab_size) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back(static_cast<int32_t>(random() % vocab_size));
  return tokens;
}

// Keys and values of the first `count` positions, as the host reads them.
inline std::vector<std::byte> RowsOf(Model& model, const KvSequence& sequence, int64_t count) {
  std::vector<std::byte> all;
  const absl::Status status = ForEachKvRows(model.kv_cache(), sequence, count, KvAccess::kRead,
                                            [&](absl::Span<std::byte> bytes) {
                                              all.insert(all.end(), bytes.begin(), bytes.end());
                                              return absl::OkStatus();
                                            });
  EXPECT_TRUE(status.ok()) << status;
  return all;
}

// Where the tree's last node is accepted with its path, the rows that are not in their places yet.
inline std::vector<RowMove> MovesTo(const std::vector<TreeNode>& tree, int32_t node,
                                    int64_t known) {
  std::vector<RowMove> moves;
  for (; node >= 0; node = tree[node].parent) {
    if (node != tree[node].depth) moves.push_back({known + node, known + tree[node].depth});
  }
  std::reverse(moves.begin(), moves.end());
  return moves;
}

// One round over a model: a prompt, a tree in one pass, in company of another sequence's prompt;
// each node's logits are those of its path alone. Then one path is kept, and what follows is what
// follows in a plain run, with the same bytes in the cache.
inline void ExpectTreesAreTheirPaths(Model& model, std::mt19937& random, int64_t known,
                                     int64_t nodes, int64_t most_depth, bool in_two = false) {
  const auto vocab_size = static_cast<int32_t>(model.hyper_parameters().vocab_size);
  const std::vector<int32_t> prompt = RandomTokens(random, known, vocab_size);
  const std::vector<TreeNode> tree = RandomTree(random, nodes, most_depth, vocab_size);
  const std::vector<int32_t> other_tokens = RandomTokens(random, 5, vocab_size);
  KvSequence sequence, other, plain;
  ASSERT_TRUE(model.kv_cache().Reserve(sequence, known + nodes + 1).ok());
  ASSERT_TRUE(model.kv_cache().Reserve(other, 5).ok());
  ASSERT_TRUE(model.kv_cache().Reserve(plain, known + most_depth + 2).ok());
  RunChain(model, sequence, 0, prompt);
  std::vector<PassRow> rows;
  for (int64_t i = 0; i < 5; ++i) rows.push_back({&other, i, other_tokens[i], false});
  std::vector<std::vector<int64_t>> seen;
  AddRows(tree, &sequence, known, &seen, &rows);
  // In one pass, or in two: what a row sees may have been in an earlier one.
  const size_t first = in_two ? rows.size() / 2 : rows.size();
  std::vector<float> got;
  for (const absl::Span<const PassRow> some :
       {absl::MakeConstSpan(rows).first(first), absl::MakeConstSpan(rows).subspan(first)}) {
    if (some.empty()) continue;
    const auto logits = model.RunPass(some);
    ASSERT_TRUE(logits.ok()) << logits.status();
    got.insert(got.end(), logits->begin(), logits->end());
  }

  RunChain(model, plain, 0, prompt);
  for (size_t node = 0; node < tree.size(); node += 1 + random() % (1 + tree.size() / 8)) {
    const std::vector<float> want =
        RunChain(model, plain, known, PathTo(tree, static_cast<int32_t>(node)));
    ASSERT_EQ(
        std::memcmp(want.data(), got.data() + node * want.size(), want.size() * sizeof(float)), 0)
        << "node " << node << " of " << nodes << " behind " << known << " positions";
  }

  const auto kept = static_cast<int32_t>(random() % tree.size());
  ASSERT_TRUE(model.MoveRows(sequence, MovesTo(tree, kept, known)).ok());
  const int64_t length = known + tree[kept].depth + 1;
  const std::vector<int32_t> next = RandomTokens(random, 1, vocab_size);
  RunChain(model, plain, known, PathTo(tree, kept));
  EXPECT_EQ(RowsOf(model, sequence, length), RowsOf(model, plain, length));
  EXPECT_EQ(RunChain(model, sequence, length, next), RunChain(model, plain, length, next));
  for (KvSequence* s : {&sequence, &other, &plain}) model.kv_cache().Release(*s);
}

}  // namespace sluice

#endif  // SLUICE_TESTS_RUNTIME_TREE_HARNESS_H_
