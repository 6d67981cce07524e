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

namespace {

// Bytes of the room for one half's pages on disk. Rooms of a layer are numbered from the layer's
// first page on, in pages of its size, so they begin up to a page later than the half does.
int64_t HalfBytes(const StateLayout& layout, int64_t num_disk_pages) {
  if (num_disk_pages == 0) return 0;
  bool alike = true;
  for (const LayerState& layer : layout.layers()) {
    alike = alike && layer.page_bytes == layout.largest_page_bytes();
  }
  return layout.largest_page_bytes() * (num_disk_pages + (alike ? 0 : 1));
}

int64_t CacheBytes(const StateLayout& layout, int64_t num_pages, int64_t num_disk_pages) {
  return layout.page_bytes() * (num_pages - num_disk_pages) + 2 * HalfBytes(layout, num_disk_pages);
}

}  // namespace

int64_t KvCache::BytesForPages(const StateLayout& layout, int64_t num_pages,
                               int64_t num_disk_pages) {
  return HostBuffer::RoundedBytes(CacheBytes(layout, num_pages, num_disk_pages));
}

KvCache::KvCache(StateLayout layout, int64_t num_pages, ComputePlace* place, int64_t num_disk_pages)
    : place_(place), layout_(std::move(layout)), pool_(num_pages, num_disk_pages) {}

absl::StatusOr<KvCache> KvCache::Create(StateLayout layout, int64_t num_pages, ComputePlace* place,
                                        int64_t num_disk_pages) {
  KvCache cache(std::move(layout), num_pages, place, num_disk_pages);
  cache.in_host_memory_ = place->device() == nullptr;
  SLUICE_ASSIGN_OR_RETURN(cache.memory_,
                          place->Allocate(CacheBytes(cache.layout_, num_pages, num_disk_pages)));
  return cache;
}

absl::StatusOr<KvCache> KvCache::CreatePinned(StateLayout layout, int64_t num_pages,
                                              ComputePlace* place, int64_t* pinned_bytes) {
  KvCache cache(std::move(layout), num_pages, place, 0);
  struct Pinned {
    HostBuffer memory;
    std::vector<DeviceRange> ranges;
  };
  auto pinned = std::make_shared<Pinned>();
  std::vector<int64_t> layers;
  for (const LayerState& layer : cache.layout_.layers()) {
    layers.push_back(layer.page_bytes * num_pages);
  }
  SLUICE_ASSIGN_OR_RETURN(pinned->memory,
                          HostBuffer::Create(CacheBytes(cache.layout_, num_pages, 0)));
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

int32_t KvCache::RoomFor(int64_t layer, int32_t disk_page) const {
  const int64_t half = layer % 2 * HalfBytes(layout_, num_disk_pages());
  const int64_t begin =
      (layout_.page_bytes() - layout_.PageBytesBefore(layer)) * first_disk_page() + half;
  const int64_t bytes = PageBytes(layer);
  return static_cast<int32_t>((begin + bytes - 1) / bytes + SlotOf(disk_page));
}

absl::Span<std::byte> KvCache::Rooms() const {
  return {memory_.data() + layout_.page_bytes() * first_disk_page(),
          static_cast<size_t>(2 * HalfBytes(layout_, num_disk_pages()))};
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
