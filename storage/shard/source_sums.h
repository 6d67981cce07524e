// Remembers the bytes that were read of a checkpoint: one checksum a tensor, whatever the order of
// reading.
#ifndef SLUICE_STORAGE_SHARD_SOURCE_SUMS_H_
#define SLUICE_STORAGE_SHARD_SOURCE_SUMS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

// Returns the sum modulo 2^64 of each row's XXH3-64, seeded with the row's number. The sums of a
// tensor's parts therefore add up to the tensor's, and two rows cannot trade places unseen. `rows`
// are of `row_bytes` each.
uint64_t SumRows(int64_t first_row, int64_t row_bytes, absl::Span<const std::byte> rows);

// The sums of many tensors; any number of threads add to them.
class SourceSums {
 public:
  explicit SourceSums(size_t num_tensors) : sums_(num_tensors) {}
  // Each row of a tensor must be added once, as the checkpoint stores its values and in the
  // architecture's order.
  void Add(int tensor, int64_t first_row, int64_t row_bytes, absl::Span<const std::byte> rows) {
    sums_[tensor].fetch_add(SumRows(first_row, row_bytes, rows), std::memory_order_relaxed);
  }
  uint64_t Value(int tensor) const { return sums_[tensor].load(std::memory_order_relaxed); }

 private:
  std::vector<std::atomic<uint64_t>> sums_;
};

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_SOURCE_SUMS_H_
