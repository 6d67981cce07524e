// The rows of a pass, as its blocks see them.
#ifndef SLUICE_RUNTIME_PASS_BLOCK_ROWS_H_
#define SLUICE_RUNTIME_PASS_BLOCK_ROWS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

// What a row of a pass is to a block.
struct BlockRow {
  const int32_t* pages;  // the sequence's page table
  int64_t position;
  int64_t slot;  // where its keys and values go: page pages[slot / 64], place slot % 64
  absl::Span<const int64_t> sees;  // as PassRow has it
  bool wants_logits;
  absl::Span<const float> hidden = {};  // as PassRow has it
};

// The rows of the pass that runs.
struct BlockRows {
  std::vector<BlockRow> rows;
  std::vector<int64_t> positions;   // of the rows
  std::vector<int64_t> logit_rows;  // indices of the rows that want logits
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_BLOCK_ROWS_H_
