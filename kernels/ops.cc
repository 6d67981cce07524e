// Sizes of activation rows and KV rows, the same on every device.
#include "kernels/ops.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/align.h"
#include "kernels/encodings/activation_layout.h"

namespace sluice {
int64_t ActivationRowBytes(ActivationFormat format, int64_t k) {
  switch (format) {
    case ActivationFormat::kF32:
      return RoundUp(k, 16) * static_cast<int64_t>(sizeof(float));
    case ActivationFormat::kInt8Block32:
      return RoundUp(k, 256) / 256 * static_cast<int64_t>(sizeof(ActivationGroup32));
    case ActivationFormat::kInt8Block256:
      return RoundUp(k, 256) / 256 * static_cast<int64_t>(sizeof(ActivationGroup256));
    case ActivationFormat::kBF16:
    case ActivationFormat::kF16:
      // An odd number of lines: where K is a power of two, the rows would compete for the same
      // cache sets.
      return RoundUp(2 * k, 64) | 64;
  }
  return 0;
}

int64_t KvRowBytes(KvType type, int64_t head_dim) {
  switch (type) {
    case KvType::kF32:
      return RoundUp(head_dim, 16) * 4;
    case KvType::kF16:
      return RoundUp(head_dim, 16) * 2;
    case KvType::kQ8_0:
      return RoundUp(head_dim, 32) / 32 * 34;
  }
  return 0;
}

int64_t KvPageBytes(const KvShape& shape) {
  const int64_t row_bytes =
      KvRowBytes(shape.k_type, shape.head_dim) + KvRowBytes(shape.v_type, shape.head_dim);
  return RoundUp(shape.num_kv_heads * kKvPageTokens * row_bytes, 4096);
}

void CopyKvRows(const KvShape& kv, std::byte* pages, int64_t page_stride,
                absl::Span<const KvCopy> copies) {
  const int64_t row_bytes[] = {KvRowBytes(kv.k_type, kv.head_dim),
                               KvRowBytes(kv.v_type, kv.head_dim)};
  for (const KvCopy& copy : copies) {
    const std::byte* from = pages + copy.from_page * page_stride;
    std::byte* to = pages + copy.to_page * page_stride;
    for (int64_t head = 0; head < kv.num_kv_heads; ++head) {
      for (const int64_t bytes : row_bytes) {
        std::memmove(to + copy.to_token * bytes, from + copy.from_token * bytes,
                     static_cast<size_t>(copy.count * bytes));
        from += kKvPageTokens * bytes;
        to += kKvPageTokens * bytes;
      }
    }
  }
}

// Attention's are the largest: 24 bytes a row, 8 a tile of rows, both on 256, and page tables.
int64_t UploadBufferBytes(const PassLimits& pass) {
  const int64_t pages = (pass.context_tokens + kKvPageTokens - 1) / kKvPageTokens;
  const int64_t entries = std::min(pass.rows, pass.page_tables) * pages;
  return RoundUp(RoundUp(pass.rows * 24, 256) + RoundUp(pass.rows * 8, 256) +
                     entries * static_cast<int64_t>(sizeof(int32_t)),
                 4096);
}

}  // namespace sluice
