// Walks over pages in order of position.
#include "runtime/kv/kv_rows.h"

#include <algorithm>
#include <vector>

#include "kernels/base/status_macros.h"

namespace sluice {

int64_t KvRowsBytes(const KvShape& shape, int64_t num_layers, int64_t tokens) {
  const int64_t row_bytes =
      KvRowBytes(shape.k_type, shape.head_dim) + KvRowBytes(shape.v_type, shape.head_dim);
  return num_layers * tokens * shape.num_kv_heads * row_bytes;
}

absl::Status ForEachKvRows(const KvCache& cache, const KvSequence& sequence, int64_t num_layers,
                           int64_t tokens, KvAccess access,
                           absl::FunctionRef<absl::Status(absl::Span<std::byte>)> on_bytes) {
  const KvShape& shape = cache.shape();
  const int64_t k_bytes = KvRowBytes(shape.k_type, shape.head_dim);
  const int64_t v_bytes = KvRowBytes(shape.v_type, shape.head_dim);
  ComputePlace* const place = cache.place();
  const bool on_host = cache.in_host_memory();
  std::vector<std::byte> copy(on_host ? 0 : cache.page_stride());
  for (int64_t first = 0; first < tokens; first += kKvPageTokens) {
    const int64_t count = std::min<int64_t>(kKvPageTokens, tokens - first);
    for (int64_t layer = 0; layer < num_layers; ++layer) {
      std::byte* const page =
          cache.LayerPages(layer) + sequence.pages[first / kKvPageTokens] * cache.page_stride();
      if (!on_host) SLUICE_RETURN_IF_ERROR(place->Download(absl::MakeSpan(copy), page));
      std::byte* at = on_host ? page : copy.data();
      for (int64_t head = 0; head < shape.num_kv_heads; ++head) {
        for (const int64_t row_bytes : {k_bytes, v_bytes}) {
          SLUICE_RETURN_IF_ERROR(on_bytes({at, static_cast<size_t>(count * row_bytes)}));
          at += kKvPageTokens * row_bytes;
        }
      }
      if (!on_host && access == KvAccess::kWrite) SLUICE_RETURN_IF_ERROR(place->Upload(page, copy));
    }
  }
  return absl::OkStatus();
}

}  // namespace sluice
