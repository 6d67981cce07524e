// Walks over pages in order of position.
#include "runtime/kv/kv_rows.h"

#include <algorithm>
#include <vector>

#include "kernels/base/status_macros.h"

namespace sluice {

int64_t KvRowsBytes(const StateLayout& layout, int64_t tokens) {
  return tokens * layout.TokenBytes();
}

absl::Status ForEachKvRows(const KvCache& cache, const KvSequence& sequence, int64_t tokens,
                           KvAccess access,
                           absl::FunctionRef<absl::Status(absl::Span<std::byte>)> on_bytes) {
  ComputePlace* const place = cache.place();
  const bool on_host = cache.in_host_memory();
  std::vector<std::byte> copy(on_host ? 0 : cache.layout().largest_page_bytes());
  for (int64_t first = 0; first < tokens; first += kKvPageTokens) {
    const int64_t count = std::min<int64_t>(kKvPageTokens, tokens - first);
    for (int64_t layer = 0; layer < cache.layout().num_layers(); ++layer) {
      const KvShape& shape = cache.layout().layer(layer).kv;
      std::byte* const page = cache.PageAt(layer, sequence.pages[first / kKvPageTokens]);
      const absl::Span<std::byte> of_page =
          absl::MakeSpan(copy).first(on_host ? 0 : static_cast<size_t>(cache.PageBytes(layer)));
      if (!on_host) SLUICE_RETURN_IF_ERROR(place->Download(of_page, page));
      std::byte* at = on_host ? page : copy.data();
      for (int64_t head = 0; head < shape.num_kv_heads; ++head) {
        for (const KvType type : {shape.k_type, shape.v_type}) {
          const int64_t row_bytes = KvRowBytes(type, shape.head_dim);
          SLUICE_RETURN_IF_ERROR(on_bytes({at, static_cast<size_t>(count * row_bytes)}));
          at += kKvPageTokens * row_bytes;
        }
      }
      if (!on_host && access == KvAccess::kWrite) {
        SLUICE_RETURN_IF_ERROR(place->Upload(page, of_page));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace sluice
