// Hashes row by row.
#include "storage/shard/source_sums.h"

#include "storage/file/checksum.h"

namespace sluice {

uint64_t SumRows(int64_t first_row, int64_t row_bytes, absl::Span<const std::byte> rows) {
  uint64_t sum = 0;
  for (auto row = static_cast<uint64_t>(first_row); !rows.empty(); ++row) {
    sum += SeededChecksum(rows.first(row_bytes), row);
    rows.remove_prefix(row_bytes);
  }
  return sum;
}

}  // namespace sluice
