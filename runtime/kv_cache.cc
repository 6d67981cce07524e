// The page pool of the KV cache.
#include "runtime/kv_cache.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/status_macros.h"

namespace sluice {

int64_t KvCache::BytesForPages(const KvShape& shape, int64_t num_layers, int64_t num_pages) {
  return HostBuffer::RoundedBytes(KvPageBytes(shape) * num_layers * num_pages);
}

absl::StatusOr<KvCache> KvCache::Create(const KvShape& shape, int64_t num_layers, int64_t num_pages) {
  KvCache cache;
  cache.shape_ = shape;
  cache.page_bytes_ = KvPageBytes(shape);
  cache.layer_bytes_ = cache.page_bytes_ * num_pages;
  SLUICE_ASSIGN_OR_RETURN(cache.memory_, HostBuffer::Create(cache.layer_bytes_ * num_layers));
  for (int64_t page = num_pages - 1; page >= 0; --page) {
    cache.free_pages_.push_back(static_cast<int32_t>(page));
  }
  return cache;
}

absl::Status KvCache::Reserve(KvSequence& sequence, int64_t tokens) {
  const int64_t wanted = (tokens + kKvPageTokens - 1) / kKvPageTokens;
  while (static_cast<int64_t>(sequence.pages.size()) < wanted) {
    if (free_pages_.empty()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the KV cache has no page left for token ", tokens, " of a sequence"));
    }
    sequence.pages.push_back(free_pages_.back());
    free_pages_.pop_back();
  }
  return absl::OkStatus();
}

void KvCache::Release(KvSequence& sequence) {
  while (!sequence.pages.empty()) {
    free_pages_.push_back(sequence.pages.back());
    sequence.pages.pop_back();
  }
}

}  // namespace sluice
