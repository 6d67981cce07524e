// The memory of the KV cache.
#include "runtime/kv/kv_cache.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "prefetch/io/host_buffer.h"
#include "prefetch/pinned_memory.h"

namespace sluice {

absl::string_view KvTypeName(KvType type) {
  return type == KvType::kF32 ? "f32" : type == KvType::kQ8_0 ? "q8_0" : "f16";
}

int64_t KvCache::BytesForPages(const KvShape& shape, int64_t num_layers, int64_t num_pages,
                               int64_t num_disk_pages) {
  return HostBuffer::RoundedBytes(KvPageBytes(shape) *
                                  (num_layers * (num_pages - num_disk_pages) + 2 * num_disk_pages));
}

void KvCache::Lay(const KvShape& shape, int64_t num_layers, int64_t num_pages, ComputePlace* place,
                  int64_t num_disk_pages) {
  place_ = place;
  shape_ = shape;
  num_layers_ = num_layers;
  page_bytes_ = KvPageBytes(shape);
  layer_bytes_ = page_bytes_ * (num_pages - num_disk_pages);
  pool_ = PagePool(num_pages, num_disk_pages);
}

absl::StatusOr<KvCache> KvCache::Create(const KvShape& shape, int64_t num_layers, int64_t num_pages,
                                        ComputePlace* place, int64_t num_disk_pages) {
  KvCache cache;
  cache.Lay(shape, num_layers, num_pages, place, num_disk_pages);
  cache.in_host_memory_ = place->device() == nullptr;
  SLUICE_ASSIGN_OR_RETURN(cache.memory_, place->Allocate(cache.layer_bytes_ * num_layers +
                                                         2 * num_disk_pages * cache.page_bytes_));
  return cache;
}

absl::StatusOr<KvCache> KvCache::CreatePinned(const KvShape& shape, int64_t num_layers,
                                              int64_t num_pages, ComputePlace* place,
                                              int64_t* pinned_bytes) {
  KvCache cache;
  cache.Lay(shape, num_layers, num_pages, place, 0);
  struct Pinned {
    HostBuffer memory;
    std::vector<DeviceRange> ranges;
  };
  auto pinned = std::make_shared<Pinned>();
  SLUICE_ASSIGN_OR_RETURN(pinned->memory, HostBuffer::Create(cache.layer_bytes_ * num_layers));
  const std::vector<int64_t> layers(num_layers, cache.layer_bytes_);
  absl::StatusOr<std::vector<DeviceRange>> ranges =
      PinMemory(place->device(), pinned->memory.span(), layers, pinned_bytes);
  if (!ranges.ok()) {
    return absl::Status(ranges.status().code(),
                        absl::StrCat("the KV cache: ", ranges.status().message()));
  }
  pinned->ranges = *std::move(ranges);
  const absl::Span<std::byte> span = pinned->memory.span();
  cache.memory_ = DeviceRange(span, [pinned] {});
  return cache;
}

absl::Status KvCache::Reserve(KvSequence& sequence, int64_t tokens) {
  const int64_t wanted = (tokens + kKvPageTokens - 1) / kKvPageTokens;
  while (static_cast<int64_t>(sequence.pages.size()) < wanted) {
    const std::optional<int32_t> page = pool_.Take();
    if (!page.has_value()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the KV cache has no page left for token ", tokens, " of a sequence"));
    }
    sequence.pages.push_back(*page);
  }
  return absl::OkStatus();
}

void KvCache::Release(KvSequence& sequence) {
  while (!sequence.pages.empty()) {
    pool_.Drop(sequence.pages.back());
    sequence.pages.pop_back();
  }
}

}  // namespace sluice
