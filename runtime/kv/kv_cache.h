// The KV cache: a pool of pages of 64 tokens, in memory or on disk, and the page table of each
// sequence.
#ifndef SLUICE_RUNTIME_KV_KV_CACHE_H_
#define SLUICE_RUNTIME_KV_KV_CACHE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/ops.h"
#include "runtime/kv/page_pool.h"
#include "runtime/kv/state_layout.h"
#include "runtime/place/compute_place.h"

namespace sluice {

absl::string_view KvTypeName(KvType type);  // "f32", "f16", "q8_0", as -ctk and -ctv have them

// Where a sequence's keys and values lie: position p is in page pages[p / 64], slot p % 64, in
// every layer.
struct KvSequence {
  std::vector<int32_t> pages;
};

// Number of the first whole page of `page_bytes` in `memory`, which lies behind `base` in one piece
// with it, where pages are counted from `base` on.
int32_t PageFrom(const std::byte* base, const std::byte* memory, int64_t page_bytes);

// How many pages a cache has.
struct KvPageCounts {
  int64_t pages = 0;
  int64_t on_disk = 0;     // of these
  int64_t tree_rooms = 0;  // pages of one layer beside them, for TreeTables
};

// Memory: [layer][page][kv_head][K|V][64 tokens][head row] (kernels/ops.h), each page 4096-aligned
// and of its layer's size; behind it, where pages are on disk, room for those of two layers: [even
// | odd layers][page on disk]; then the rooms for trees.
class KvCache {
 public:
  KvCache() = default;
  // Of memory.
  static int64_t Bytes(const StateLayout& layout, const KvPageCounts& counts);
  // Of that, what pages of one layer take wherever its pages begin: of the rooms for trees.
  static int64_t RoomBytes(const StateLayout& layout, int64_t num_rooms);
  // In memory of `place`, which must outlive the cache (all of these do). Pages on disk have
  // numbers behind the others'; only a KvPager brings what they hold to where a layer can use it.
  static absl::StatusOr<KvCache> Create(StateLayout layout, const KvPageCounts& counts,
                                        ComputePlace* place);
  // In host memory that is pinned for `place`, a device's; only a KvStaging brings pages to where a
  // layer can use them. Pages in a row of a layer may be copied at once. ResourceExhausted, with
  // numbers: the system does not pin as much; `pinned_bytes` grows by what it does.
  static absl::StatusOr<KvCache> CreatePinned(StateLayout layout, int64_t num_pages,
                                              ComputePlace* place, int64_t* pinned_bytes);

  // Gives `sequence` pages until it has room for `tokens` positions. ResourceExhausted when the
  // pool is empty; the sequence then keeps what it has.
  absl::Status Reserve(KvSequence& sequence, int64_t tokens);
  // Gives all pages of `sequence` back.
  void Release(KvSequence& sequence);

  // The pool that counts the users of each page, for users that share pages.
  PagePool& pool() { return pool_; }
  const StateLayout& layout() const { return layout_; }
  // Pages of a layer, one behind the other, each of PageBytes(layer).
  std::byte* LayerPages(int64_t layer) const {
    return memory_.data() + layout_.PageBytesBefore(layer) * first_disk_page();
  }
  int64_t PageBytes(int64_t layer) const { return layout_.layer(layer).page_bytes; }
  int32_t first_disk_page() const { return pool_.first_disk_page(); }
  int64_t num_disk_pages() const { return pool_.num_pages() - first_disk_page(); }
  bool OnDisk(int32_t page) const { return page >= first_disk_page(); }
  // Where a page on disk lies in the file.
  int32_t SlotOf(int32_t disk_page) const { return disk_page - first_disk_page(); }
  // Its room while `layer` is computed, as one of LayerPages(layer).
  int32_t RoomFor(int64_t layer, int32_t disk_page) const;
  // The rooms of both halves as bytes, for whoever uses them between passes.
  absl::Span<std::byte> Rooms() const;
  // Where the rooms for trees begin, of all layers; rounded up to a page of the layer that uses
  // them (PageFrom).
  std::byte* tree_rooms() const { return Rooms().data() + Rooms().size(); }
  std::byte* PageAt(int64_t layer, int32_t page) const {
    return LayerPages(layer) + page * PageBytes(layer);
  }
  // The place that computes with the pages.
  ComputePlace* place() const { return place_; }
  // Whether the host may read and write them where they lie; else they are memory of the place's
  // device.
  bool in_host_memory() const { return in_host_memory_; }

 private:
  KvCache(StateLayout layout, const KvPageCounts& counts, ComputePlace* place);

  ComputePlace* place_ = nullptr;
  StateLayout layout_;
  int64_t half_bytes_ = 0;  // of the rooms for pages on disk
  bool in_host_memory_ = true;
  DeviceRange memory_;
  PagePool pool_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_KV_KV_CACHE_H_
