// Drops the older half of the rows where there is no more room.
#include "runtime/speculate/hidden_window.h"

#include <algorithm>
#include <utility>

namespace sluice {

void HiddenWindow::Add(int64_t first, absl::Span<const float> rows) {
  if (empty() || first > end()) {
    values_.clear();
    first_ = first;
  }
  auto count = static_cast<int64_t>(rows.size()) / row_size_;
  const int64_t known = std::min(end() - first, count);
  const int64_t more = std::max<int64_t>(count - known - most_rows_, 0);  // than there is room for
  rows.remove_prefix(static_cast<size_t>((known + more) * row_size_));
  count -= known + more;
  if (size() + more + count > most_rows_) {
    const int64_t kept = more > 0 ? 0 : std::min({size(), most_rows_ - count, most_rows_ / 2});
    const int64_t dropped = size() - kept;
    values_.erase(values_.begin(), values_.begin() + dropped * row_size_);
    first_ += dropped + more;
  }
  values_.reserve(static_cast<size_t>(most_rows_ * row_size_));
  values_.insert(values_.end(), rows.begin(), rows.end());
}

void HiddenWindow::AddInFront(HiddenWindow older) {
  if (empty()) {
    *this = std::move(older);
  } else if (older.end() >= first_ && older.first_ < first_) {
    older.Truncate(first_);
    older.Add(first_, values_);
    *this = std::move(older);
  }
}

void HiddenWindow::Truncate(int64_t end) {
  const int64_t kept = std::clamp<int64_t>(end - first_, 0, size());
  values_.resize(static_cast<size_t>(kept * row_size_));
}

}  // namespace sluice
