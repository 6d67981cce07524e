// Finds branches among a pass's rows, and what their rooms have to hold.
#include "runtime/pass/tree_tables.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// Whether the row and all that it sees lie in the slots of their positions.
bool InOrder(const BlockRow& row) {
  int64_t position = row.position;
  if (row.slot != position) return false;
  for (size_t i = row.sees.size(); i > 0; --i) {
    if (row.sees[i - 1] != --position) return false;
  }
  return true;
}

// Whether `row` sees `before`, and in front of that what that one sees.
bool Follows(const BlockRow& row, const BlockRow& before) {
  return row.pages == before.pages && row.position == before.position + 1 &&
         row.sees.size() == before.sees.size() + 1 && row.sees.back() == before.slot &&
         std::equal(before.sees.begin(), before.sees.end(), row.sees.begin());
}

}  // namespace

int64_t TreeTables::MemoryBytes(int64_t rows, int64_t context_tokens) {
  const int64_t pages = context_tokens / kKvPageTokens + 2;
  // A branch a row: its table, and the slots and copies of a page and of what is behind it.
  const auto branch_bytes =
      static_cast<int64_t>(sizeof(Branch) + sizeof(std::vector<int32_t>)) +
      pages * static_cast<int64_t>(sizeof(int32_t)) +
      2 * kKvPageTokens * static_cast<int64_t>(sizeof(int64_t) + sizeof(KvCopy));
  return rows * branch_bytes;
}

TreeTables::Branch TreeTables::NewBranch(const BlockRow& row, size_t index) {
  // The first position whose slot has another number.
  int64_t position = row.position - static_cast<int64_t>(row.sees.size());
  size_t straight = 0;
  while (straight < row.sees.size() && row.sees[straight] == position) {
    ++straight;
    ++position;
  }
  Branch branch = {.first_row = index,
                   .last_row = index,
                   .first_page = position / kKvPageTokens,
                   .first_room = 0,
                   .slots = {}};
  for (int64_t p = branch.first_page * kKvPageTokens; p < position; ++p) branch.slots.push_back(p);
  branch.slots.insert(branch.slots.end(), row.sees.begin() + static_cast<int64_t>(straight),
                      row.sees.end());
  branch.slots.push_back(row.slot);
  return branch;
}

int64_t TreeTables::RoomsOf(absl::Span<const BlockRow> rows) {
  TreeTables tables(std::numeric_limits<int64_t>::max());
  if (!tables.Begin(rows).ok()) return std::numeric_limits<int64_t>::max();
  int64_t rooms = 0;
  for (const Branch& branch : tables.branches_) rooms += branch.num_rooms();
  return rooms;
}

absl::Status TreeTables::Begin(absl::Span<const BlockRow> rows) {
  branches_.clear();
  for (size_t i = 0; i < rows.size(); ++i) {
    const BlockRow& row = rows[i];
    if (InOrder(row)) continue;
    if (i > 0 && !branches_.empty() && branches_.back().last_row + 1 == i &&
        Follows(row, rows[i - 1])) {
      branches_.back().slots.push_back(row.slot);
      branches_.back().last_row = i;
    } else {
      branches_.push_back(NewBranch(row, i));
    }
  }
  int64_t rooms = 0;
  for (Branch& branch : branches_) {
    branch.first_room = rooms;
    rooms += branch.num_rooms();
  }
  if (rooms > num_rooms_) {
    return absl::InternalError(
        absl::StrCat("a pass over trees takes ", rooms, " pages, there is room for ", num_rooms_));
  }
  tables_.resize(std::max(tables_.size(), branches_.size()));
  return absl::OkStatus();
}

void TreeTables::Fill(const Branch& branch, const int32_t* pages, int32_t first_room) {
  const auto num_slots = static_cast<int64_t>(branch.slots.size());
  for (int64_t i = 0; i < num_slots;) {
    const int64_t slot = branch.slots[i];
    const int64_t most = std::min(
        {num_slots - i, kKvPageTokens - i % kKvPageTokens, kKvPageTokens - slot % kKvPageTokens});
    int64_t count = 1;
    while (count < most && branch.slots[i + count] == slot + count) ++count;
    copies_.push_back(
        {.from_page = pages[slot / kKvPageTokens],
         .from_token = static_cast<int32_t>(slot % kKvPageTokens),
         .to_page = static_cast<int32_t>(first_room + branch.first_room + i / kKvPageTokens),
         .to_token = static_cast<int32_t>(i % kKvPageTokens),
         .count = static_cast<int32_t>(count)});
    i += count;
  }
}

absl::Span<const KvCopy> TreeTables::Enter(int32_t first_room, absl::Span<AttentionRow> rows) {
  copies_.clear();
  for (size_t i = 0; i < branches_.size(); ++i) {
    const Branch& branch = branches_[i];
    const int32_t* const pages = rows[branch.first_row].page_table;
    Fill(branch, pages, first_room);
    std::vector<int32_t>& table = tables_[i];
    table.reserve(static_cast<size_t>(branch.first_page + branch.num_rooms()));
    table.assign(pages, pages + branch.first_page);
    for (int64_t room = 0; room < branch.num_rooms(); ++room) {
      table.push_back(static_cast<int32_t>(first_room + branch.first_room + room));
    }
    for (size_t row = branch.first_row; row <= branch.last_row; ++row) {
      rows[row].page_table = table.data();
    }
  }
  return copies_;
}

}  // namespace sluice
