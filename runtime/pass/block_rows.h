// The rows of a pass, as its blocks see them.
#ifndef SLUICE_RUNTIME_PASS_BLOCK_ROWS_H_
#define SLUICE_RUNTIME_PASS_BLOCK_ROWS_H_

#include <cstdint>
#include <vector>

namespace sluice {

// A row's `parent` where it sees all positions in front of its own.
inline constexpr int32_t kSeesAllBefore = -1;

// What a row of a pass is to a block.
struct BlockRow {
  const int32_t* pages;  // the sequence's page table
  int64_t position;
  int64_t slot;    // where its keys and values go: page pages[slot / 64], place slot % 64
  int32_t parent;  // as PassRow has it
  bool wants_logits;
};

// The rows of the pass that runs.
struct BlockRows {
  std::vector<BlockRow> rows;
  std::vector<int64_t> positions;   // of the rows
  std::vector<int64_t> logit_rows;  // indices of the rows that want logits
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_BLOCK_ROWS_H_
