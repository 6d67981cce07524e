// Brings the pages that running sequences have on disk to each layer of a pass, and takes back what
// changed.
#ifndef SLUICE_RUNTIME_KV_KV_PAGER_H_
#define SLUICE_RUNTIME_KV_KV_PAGER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "prefetch/io/io_batch.h"
#include "runtime/kv/kv_cache.h"
#include "runtime/kv/kv_file.h"
#include "runtime/kv/kv_mover.h"

namespace sluice {

// What it moved.
struct KvPagerCounters {
  int64_t bytes_read = 0;
  int64_t bytes_written = 0;
  double wait_seconds = 0;  // that the compute thread waited for it
};

// While a layer is computed, the next one's pages are read to the other half of the room that the
// cache has for pages on disk; they are checked before they are used. A layer's changed pages are
// written while the next one is computed, which then waits for them, as its own successor's pages
// are to take their place:
//
//   compute    layer 0        layer 1               layer 2               ...
//   even half  0 read, used   0 written, 2 read     2 used                2 written, 4 read
//   odd half   1 read         1 used                1 written, 3 read     3 used
class KvPager : public KvMover {
 public:
  // What it holds in memory beside the cache and the file's checksums.
  static int64_t MemoryBytes(int64_t num_disk_pages);

  // `cache`, in host memory, and `file`, whose first slots are the cache's pages on disk, must
  // outlive it.
  KvPager(const KvCache* cache, KvFile* file);

  // Reads for the first layer, too.
  absl::Status Begin(std::vector<PassSpan> spans) override;
  // Waits for the layer's pages. Unavailable: a read, or a write of the layer before, failed.
  // DataLoss: something else came back than was written. Both name layer and pages.
  absl::StatusOr<std::byte*> Enter(int layer, absl::Span<AttentionRow> rows) override;
  // Writes the pages that the rows are in.
  absl::Status Appended(int layer) override;
  absl::Status Attended(int /*layer*/) override { return absl::OkStatus(); }
  // Waits for what is still being written. Unavailable.
  absl::Status End() override;
  std::byte* tree_rooms() const override { return cache_->tree_rooms(); }

  const KvPagerCounters& counters() const { return counters_; }

 private:
  // Pages in a row, of a request.
  struct Run {
    int32_t first_page;
    int32_t count;
  };
  // Rooms of all pages on disk, and what is being read to them or written from them.
  struct Half {
    explicit Half(IoEngine* io) : batch(io) {}
    IoBatch batch;
    std::vector<Run> runs;
    int64_t layer = 0;
    bool writes = false;
  };

  Half& HalfOf(int64_t layer) { return layer % 2 == 0 ? even_ : odd_; }
  absl::Span<std::byte> RoomFor(int64_t layer, int32_t page, int32_t count) const;
  int64_t WindowOf(int64_t layer) const { return cache_->layout().layer(layer).window; }
  // Submits requests for the pages of which `chosen` is true.
  template <typename Chosen>
  void Submit(int layer, bool write, const Chosen& chosen);
  // Waits for what was submitted to a half.
  absl::Status Settle(Half& half);

  const KvCache* const cache_;
  KvFile* const file_;
  Half even_;
  Half odd_;
  std::vector<PassSpan> spans_;
  std::vector<PageUse> uses_;
  std::vector<std::vector<int32_t>> tables_;  // one a span
  KvPagerCounters counters_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_KV_KV_PAGER_H_
