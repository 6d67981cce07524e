// Finds branches among a pass's rows, and what their rooms have to hold.
#include "runtime/pass/tree_tables.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace sluice {

int64_t TreeTables::MemoryBytes(int64_t rows, int64_t context_tokens) {
  const int64_t pages = context_tokens / kKvPageTokens + 2;
  // A branch a row: its table, and the slots and copies of a page and of what is behind it.
  const auto branch_bytes =
      static_cast<int64_t>(sizeof(Branch) + sizeof(std::vector<int32_t>)) +
      pages * static_cast<int64_t>(sizeof(int32_t)) +
      2 * kKvPageTokens * static_cast<int64_t>(sizeof(int64_t) + sizeof(KvCopy));
  return rows * branch_bytes;
}

TreeTables::Branch TreeTables::NewBranch(absl::Span<const BlockRow> rows, size_t row) const {
  std::vector<int64_t> path = {rows[row].slot};  // from the row upwards
  int64_t position = rows[row].position;         // of path.back()
  int32_t up = rows[row].parent;
  for (; up >= 0 && OnBranch(static_cast<size_t>(up)); up = rows[up].parent) {
    path.push_back(rows[up].slot);
    --position;
  }
  Branch branch = {.first_row = row,
                   .last_row = row,
                   .first_page = position / kKvPageTokens,
                   .first_room = 0,
                   .slots = {}};
  for (int64_t p = branch.first_page * kKvPageTokens; p < position; ++p) branch.slots.push_back(p);
  branch.slots.insert(branch.slots.end(), path.rbegin(), path.rend());
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
  branch_of_.assign(rows.size(), -1);
  for (size_t i = 0; i < rows.size(); ++i) {
    const BlockRow& row = rows[i];
    const int32_t parent = row.parent;
    if (parent >= static_cast<int32_t>(i)) {
      return absl::InternalError(absl::StrCat("row ", i, " of a pass is behind row ", parent));
    }
    const bool above = parent >= 0 && OnBranch(static_cast<size_t>(parent));
    if (row.slot == row.position && !above) continue;
    branch_of_[i] = static_cast<int32_t>(branches_.size());
    if (above && static_cast<size_t>(parent) + 1 == i && branches_.back().last_row + 1 == i) {
      branches_.back().slots.push_back(row.slot);
      branches_.back().last_row = i;
      --branch_of_[i];
    } else {
      branches_.push_back(NewBranch(rows, i));
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
