// Takes pages of a KV cache in host memory to a device that computes, for one layer after the
// other, and back.
#ifndef SLUICE_RUNTIME_KV_KV_STAGING_H_
#define SLUICE_RUNTIME_KV_KV_STAGING_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/device.h"
#include "kernels/ops.h"
#include "prefetch/device_clock.h"
#include "prefetch/device_link.h"
#include "prefetch/event_pool.h"
#include "runtime/kv/kv_cache.h"
#include "runtime/kv/kv_mover.h"
#include "runtime/place/compute_place.h"

namespace sluice {

// Bytes over the link; seconds, by the device's clock, of passes that ended.
struct KvStagingCounters {
  int64_t bytes_in = 0;     // to the device
  int64_t bytes_out = 0;    // back
  double copy_seconds = 0;  // copying, either way
  double wait_seconds = 0;  // the compute stream stood before a layer whose pages were not in
};

// The device has room for two layers' pages of a pass. Each page has a slot there, the same in both
// halves and for the whole pass; pages that several sequences share have one. A stream of its own
// copies, in this order:
//
//   copies   0 in, 1 in, 0 out, 2 in, 1 out, 3 in, 2 out, ...
//   compute  layer 0: appends, attends;  layer 1;  layer 2;  ...
//
// A layer appends once its pages are in. Its pages go out once it has appended, and the pages of
// the second layer after it come in once it has attended. The order of copies on the stream is the
// one above, so a half is not filled before its pages are out, and a page in host memory is not
// read before its new rows are there. Pages in which the layer sees nothing, and pages that begin
// in this pass, are not copied in. Pages that got rows go out as a whole: a page is one copy, while
// its new rows would be one copy for each head. Nothing waits on the host before End.
class KvStaging : public KvMover {
 public:
  // When a layer's pages were copied, in the host's time.
  struct Move {
    int layer;
    bool in;  // to the device; else back
    int64_t bytes;
    std::chrono::steady_clock::time_point begin;
    std::chrono::steady_clock::time_point end;
  };

  // The most pages that a pass of `pass_rows` rows, of at most `num_sequences` sequences which
  // share `kv_pages` pages, has to have on the device: where all layers have windows
  // (StateLayout::WidestWindow) not all.
  static int64_t MostPages(int64_t widest_window, int64_t num_sequences, int64_t pass_rows,
                           int64_t kv_pages);
  // Of the device, with so many slots a half.
  static int64_t DeviceBytes(const StateLayout& layout, int64_t num_slots, int64_t tree_rooms);
  // Of host memory, beside the cache.
  static int64_t HostBytes(int64_t kv_pages);

  // `cache`, pinned in host memory (KvCache::CreatePinned), `place`, which computes, and `link`,
  // over which slabs go, too, must outlive it. ResourceExhausted: no such device memory.
  static absl::StatusOr<std::unique_ptr<KvStaging>> Create(const KvCache* cache,
                                                           ComputePlace* place, DeviceLink* link,
                                                           int64_t num_slots, int64_t tree_rooms);
  // Waits for its copies and for the compute stream.
  ~KvStaging() override;

  // Copies for the first two layers, too. Internal: more pages than slots.
  absl::Status Begin(std::vector<PassSpan> spans) override;
  // Makes the compute stream wait for the layer's pages.
  absl::StatusOr<std::byte*> Enter(int layer, absl::Span<AttentionRow> rows) override;
  absl::Status Appended(int layer) override;
  absl::Status Attended(int layer) override;
  // Blocks until everything is out: from then on the host may read the cache and move its pages.
  // Also for a pass that ended early.
  absl::Status End() override;
  std::byte* tree_rooms() const override { return tree_rooms_; }

  const KvStagingCounters& counters() const { return counters_; }
  // Those of the passes that ended since the last call, in order.
  std::vector<Move> TakeMoves() { return std::exchange(moves_, {}); }

 private:
  struct Half {
    std::byte* memory = nullptr;      // [slot] pages
    std::unique_ptr<Event> appended;  // on the compute stream
    std::unique_ptr<Event> attended;  // there, too
    size_t in = 0;                    // of copies_of_pass_: what brings the pages
  };
  // A layer's pages on their way, one way.
  struct Copy {
    int layer;
    bool in;
    int64_t bytes = 0;
    std::chrono::steady_clock::time_point asked = {};
    EventPool::Handle begun = nullptr;  // on the copy stream
    EventPool::Handle done = nullptr;
    // On the compute stream, where it came to the layer; null: back, or it did not
    EventPool::Handle come = nullptr;
  };

  KvStaging(const KvCache* cache, ComputePlace* place, DeviceLink* link, int64_t num_slots);
  int64_t WindowOf(int64_t layer) const { return cache_->layout().layer(layer).window; }
  int num_layers() const { return static_cast<int>(cache_->layout().num_layers()); }
  Half& HalfOf(int layer) { return halves_[layer % 2]; }
  absl::Status BeginCopy(int layer, bool in);
  absl::Status EndCopy();
  absl::Status CopyIn(int layer);
  // Looks at the times of the pass's copies, which are done.
  absl::Status TimeCopies();
  // Copies pages for which `chosen` is true, neighbours at once.
  template <typename Chosen, typename CopyRun>
  absl::Status CopyRuns(int layer, const Chosen& chosen, const CopyRun& copy) const;

  const KvCache* const cache_;
  ComputePlace* const place_;
  DeviceLink* const link_;
  const int64_t num_slots_;
  const int64_t widest_;  // of the windows; 0: one layer has none
  DeviceRange memory_;    // both halves, and the rooms for trees
  std::byte* tree_rooms_ = nullptr;
  EventPool events_;
  std::unique_ptr<Stream> copies_;
  Half halves_[2];
  std::unique_ptr<Event> out_;  // on the copy stream
  std::vector<PassSpan> spans_;
  std::vector<PageUse> uses_;  // by slot
  std::vector<std::vector<int32_t>>
      tables_;                        // one a span, of slots; -1: a page in which nothing is seen
  std::vector<Copy> copies_of_pass_;  // in order
  EventPool::Handle last_copy_;       // the end of the one whose time was looked at last
  DeviceClock clock_{std::chrono::steady_clock::now()};
  std::vector<Move> moves_;
  KvStagingCounters counters_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_KV_KV_STAGING_H_
