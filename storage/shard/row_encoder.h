// Reads rows of a checkpoint's tensor and encodes them as the store is to have them.
#ifndef SLUICE_STORAGE_SHARD_ROW_ENCODER_H_
#define SLUICE_STORAGE_SHARD_ROW_ENCODER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/encodings/encoding.h"
#include "storage/source/checkpoint.h"

namespace sluice {

// Keeps its buffers between calls; one a thread.
class RowEncoder {
 public:
  explicit RowEncoder(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  // Returns rows [first_row, first_row + num_rows) of `tensor` (a vector is one row), RowBytes
  // apart, valid until the next call. If `encoding` is the tensor's own, the bits are passed
  // through. InvalidArgument, naming tensor, row and column: a NaN or infinity is to be quantized,
  // or a value is too large for the encoding (f16, bf16, or the f16 scales of the quantized ones).
  absl::StatusOr<absl::Span<const std::byte>> Rows(const CheckpointTensor& tensor,
                                                   Encoding encoding, int64_t first_row,
                                                   int64_t num_rows);
  // Returns the same rows as the checkpoint stores their values, valid until the next call of
  // Rows().
  absl::Span<const std::byte> source() const { return source_; }

 private:
  const Checkpoint& checkpoint_;
  std::vector<std::byte> source_;   // [num_rows, k] of the checkpoint
  std::vector<std::byte> scratch_;  // whole heads, if rows must be put in order
  std::vector<float> values_;       // [k]
  std::vector<std::byte> encoded_;  // [num_rows] rows of `encoding`
};

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_ROW_ENCODER_H_
