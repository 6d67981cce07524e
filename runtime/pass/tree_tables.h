// Page tables for rows of a tree, in which each row's ancestors lie in order of position.
#ifndef SLUICE_RUNTIME_PASS_TREE_TABLES_H_
#define SLUICE_RUNTIME_PASS_TREE_TABLES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/ops.h"
#include "runtime/pass/block_rows.h"

namespace sluice {

// Attention reads keys by position, in pages of 64. A row whose path leads through other slots
// than its positions' gets a table that ends in pages of its own, the rooms: copies of the page
// that its path leaves, and of what the path has in other slots. Rows that follow each other down
// one path are a branch and share its rooms. Kernels then need not know that there are trees, and
// the bits are those of a chain.
//
//   slots      0 .. 63 | 64: root  65: a  66: b (behind a)  67: c (behind the root)
//   table of b         | the sequence's pages: 64 to 66 are in order
//   table of c         | a room, with copies of 64 and of 67 behind it
//
// What one layer's rooms hold is of no use to the next layer, which fills them again.
class TreeTables {
 public:
  // Rooms that a pass of these rows takes: one a branch, or more where its path crosses the ends of
  // pages.
  static int64_t RoomsOf(absl::Span<const BlockRow> rows);
  // What the tables and copies take in memory for passes with so many rows of trees.
  static int64_t MemoryBytes(int64_t rows, int64_t context_tokens);

  // For layers whose pages have `num_rooms` rooms behind them.
  explicit TreeTables(int64_t num_rooms = 0) : num_rooms_(num_rooms) {}

  // Begins with the rows of a pass. Internal: more branches than rooms.
  absl::Status Begin(absl::Span<const BlockRow> rows);
  // No row has to have a table of its own.
  bool empty() const { return branches_.empty(); }

  // Begins with a layer. `rows` are the pass's, with tables that lead to its slots; rows of
  // branches get tables of their own, valid until the next call. Rooms are numbered from
  // `first_room` on, as pages of the layer are. Returns what has to be copied before the rows
  // attend: nothing in a room is read for that.
  absl::Span<const KvCopy> Enter(int32_t first_room, absl::Span<AttentionRow> rows);

 private:
  // Rows `first_row` .. `last_row` of the pass.
  struct Branch {
    size_t first_row;
    size_t last_row;
    int64_t first_page;          // of its table: the first one that is a room
    int64_t first_room;          // of its rooms
    std::vector<int64_t> slots;  // of the positions from first_page on, up to the last row's
    int64_t num_rooms() const {
      return (static_cast<int64_t>(slots.size()) + kKvPageTokens - 1) / kKvPageTokens;
    }
  };

  static Branch NewBranch(const BlockRow& row, size_t index);
  // Adds the copies that fill a branch's rooms, from the slots of `pages`.
  void Fill(const Branch& branch, const int32_t* pages, int32_t first_room);

  int64_t num_rooms_;
  std::vector<Branch> branches_;
  std::vector<std::vector<int32_t>> tables_;
  std::vector<KvCopy> copies_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_TREE_TABLES_H_
