// Reads, widens to f32, checks and encodes row by row.
#include "storage/shard/row_encoder.h"

#include <bit>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace sluice {
namespace {

constexpr uint32_t kInfinityBits = 0x7f800000;

// Returns the smallest magnitude, as f32 bits, that would round to infinity.
uint32_t OverflowBits(Encoding encoding) {
  switch (encoding) {
    case Encoding::kF32:
      return kInfinityBits;
    case Encoding::kBF16:
      return 0x7f7f8000;
    // Quantized blocks have f16 scales. They reach a little further than f16 itself; no model does.
    default:
      return std::bit_cast<uint32_t>(65520.0f);
  }
}

uint32_t Magnitude(float value) { return std::bit_cast<uint32_t>(value) & 0x7fffffff; }

// Returns the first column that `encoding` cannot hold, or -1.
int64_t FindUnencodable(Encoding encoding, absl::Span<const float> values) {
  const uint32_t limit = OverflowBits(encoding);
  // Floats carry NaN and infinity over; quantized blocks cannot.
  const uint32_t end = Info(encoding).quantized() ? UINT32_MAX : kInfinityBits;
  int bad = 0;  // counted without a branch, so that the loop becomes vector code
  for (const float value : values) bad |= Magnitude(value) >= limit && Magnitude(value) < end;
  if (bad == 0) return -1;
  for (size_t i = 0;; ++i) {
    if (Magnitude(values[i]) >= limit && Magnitude(values[i]) < end) return static_cast<int64_t>(i);
  }
}

}  // namespace

absl::StatusOr<absl::Span<const std::byte>> RowEncoder::Rows(const CheckpointTensor& tensor,
                                                             Encoding encoding, int64_t first_row,
                                                             int64_t num_rows) {
  const int64_t k = tensor.shape.back();
  const int64_t source_row = RowBytes(tensor.encoding, k);
  source_.resize(num_rows * source_row);
  SLUICE_RETURN_IF_ERROR(
      checkpoint_.ReadRows(tensor, first_row, num_rows, absl::MakeSpan(source_), &scratch_));
  if (tensor.encoding == encoding) return source_;

  const int64_t row_bytes = RowBytes(encoding, k);
  values_.resize(k);
  encoded_.resize(num_rows * row_bytes);
  for (int64_t row = 0; row < num_rows; ++row) {
    DecodeRow(tensor.encoding, source_.data() + row * source_row, k, values_.data());
    if (const int64_t column = FindUnencodable(encoding, values_); column >= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(tensor.name, ", row ", first_row + row, ", column ", column, ": ",
                       values_[column], " cannot be stored as ", Info(encoding).name,
                       "; keep the checkpoint's own dtype, or repair the checkpoint"));
    }
    EncodeRow(encoding, values_.data(), k, encoded_.data() + row * row_bytes);
  }
  return encoded_;
}

}  // namespace sluice
