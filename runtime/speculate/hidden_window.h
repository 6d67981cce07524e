// The last hidden rows of a sequence, for a head that drafts.
#ifndef SLUICE_RUNTIME_SPECULATE_HIDDEN_WINDOW_H_
#define SLUICE_RUNTIME_SPECULATE_HIDDEN_WINDOW_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

// Keeps the hidden rows of tokens first() .. end() - 1 of a sequence, without a gap: `most_rows` at
// most. Where rows come one behind the other, at least the last half of so many are kept.
class HiddenWindow {
 public:
  HiddenWindow() = default;
  // Rows of `row_size` floats. `most_rows` is at least 2.
  HiddenWindow(int64_t row_size, int64_t most_rows) : row_size_(row_size), most_rows_(most_rows) {}

  int64_t first() const { return first_; }
  int64_t end() const { return first_ + size(); }
  bool empty() const { return values_.empty(); }

  // Adds `rows` [number of rows, row_size] of the tokens from number `first` on. Rows that are kept
  // stay as they are. Rows behind a gap take the place of all others.
  void Add(int64_t first, absl::Span<const float> rows);
  // Puts the rows that `older` has in front of this one's there, if no row is missing between.
  void AddInFront(HiddenWindow older);
  // Drops the rows of the tokens from number `end` on.
  void Truncate(int64_t end);

  // The row of a token that is kept, valid until the next change.
  absl::Span<const float> Row(int64_t token) const {
    return absl::MakeConstSpan(values_).subspan(static_cast<size_t>((token - first_) * row_size_),
                                                static_cast<size_t>(row_size_));
  }

  static int64_t MemoryBytes(int64_t row_size, int64_t most_rows) {
    return row_size * most_rows * static_cast<int64_t>(sizeof(float));
  }

 private:
  int64_t size() const {
    return static_cast<int64_t>(values_.size()) / std::max<int64_t>(row_size_, 1);
  }

  int64_t row_size_ = 0;
  int64_t most_rows_ = 0;
  int64_t first_ = 0;
  std::vector<float> values_;  // of all rows; its capacity is most_rows from the first one on
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SPECULATE_HIDDEN_WINDOW_H_
