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

int64_t CacheBytes(const StateLayout& layout, const KvPageCounts& counts) {
  return layout.page_bytes() * (counts.pages - counts.on_disk) +
         2 * KvCache::RoomBytes(layout, counts.on_disk) +
         KvCache::RoomBytes(layout, counts.tree_rooms);
}

}  // namespace

int32_t PageFrom(const std::byte* base, const std::byte* memory, int64_t page_bytes) {
  return static_cast<int32_t>((memory - base + page_bytes - 1) / page_bytes);
}

// Rooms of a layer are numbered from the layer's first page on, in pages of its size, so they begin
// up to a page later than their memory does.
int64_t KvCache::RoomBytes(const StateLayout& layout, int64_t num_rooms) {
  if (num_rooms == 0) return 0;
  bool alike = true;
  for (const LayerState& layer : layout.layers()) {
    alike = alike && layer.page_bytes == layout.largest_page_bytes();
  }
  return layout.largest_page_bytes() * (num_rooms + (alike ? 0 : 1));
}

int64_t KvCache::Bytes(const StateLayout& layout, const KvPageCounts& counts) {
  return HostBuffer::RoundedBytes(CacheBytes(layout, counts));
}

KvCache::KvCache(StateLayout layout, const KvPageCounts& counts, ComputePlace* place)
    : place_(place),
      layout_(std::move(layout)),
      half_bytes_(RoomBytes(layout_, counts.on_disk)),
      pool_(counts.pages, counts.on_disk) {}

absl::StatusOr<KvCache> KvCache::Create(StateLayout layout, const KvPageCounts& counts,
                                        ComputePlace* place) {
  KvCache cache(std::move(layout), counts, place);
  cache.in_host_memory_ = place->device() == nullptr;
  SLUICE_ASSIGN_OR_RETURN(cache.memory_, place->Allocate(CacheBytes(cache.layout_, counts)));
  return cache;
}

absl::StatusOr<KvCache> KvCache::CreatePinned(StateLayout layout, int64_t num_pages,
                                              ComputePlace* place, int64_t* pinned_bytes) {
  const KvPageCounts counts = {.pages = num_pages};
  KvCache cache(std::move(layout), counts, place);
  struct Pinned {
    HostBuffer memory;
    std::vector<DeviceRange> ranges;
  };
  auto pinned = std::make_shared<Pinned>();
  std::vector<int64_t> layers;
  for (const LayerState& layer : cache.layout_.layers()) {
    layers.push_back(layer.page_bytes * num_pages);
  }
  SLUICE_ASSIGN_OR_RETURN(pinned->memory, HostBuffer::Create(CacheBytes(cache.layout_, counts)));
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
  const std::byte* const half = Rooms().data() + layer % 2 * half_bytes_;
  return PageFrom(LayerPages(layer), half, PageBytes(layer)) + SlotOf(disk_page);
}

absl::Span<std::byte> KvCache::Rooms() const {
  return {memory_.data() + layout_.page_bytes() * first_disk_page(),
          static_cast<size_t>(2 * half_bytes_)};
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
