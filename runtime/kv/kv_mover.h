// Brings pages of the KV cache to the memory where each layer of a pass can use them, and tells
// which pages a pass uses.
#ifndef SLUICE_RUNTIME_KV_KV_MOVER_H_
#define SLUICE_RUNTIME_KV_KV_MOVER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/ops.h"

namespace sluice {

// The rows that a sequence has in a pass: slots `first` to `last`, all of them. A row's slot is its
// position, but in a tree.
struct PassSpan {
  const int32_t* pages;  // its page table
  int64_t first;
  int64_t last;
};

// A page that rows of a pass see or write.
struct PageUse {
  int32_t page;
  // From its last position to the nearest row that sees it (0 or less: that is inside).
  int64_t distance;
  bool begins;   // the pass writes its first position: what was there before does not count
  bool changes;  // the pass writes to it
  bool SeenThrough(int64_t window) const { return window == 0 || distance < window; }
  // Whether a layer with this window needs what it held before the pass.
  bool IsRead(int64_t window) const { return !begins && SeenThrough(window); }
};
// The pages in the tables that are at least `first_page`, lowest page first. A page that several
// tables have is listed once.
std::vector<PageUse> PagesOf(absl::Span<const PassSpan> spans, int32_t first_page);

// Gives `rows` (the spans' rows, in order) the tables of their spans.
void UseTables(absl::Span<const PassSpan> spans, absl::Span<const std::vector<int32_t>> tables,
               absl::Span<AttentionRow> rows);

// Call order of a pass: Begin; Enter, Appended and Attended for each layer in turn; End. After an
// error, or where a pass ends early, Begin again. For the compute thread.
class KvMover {
 public:
  virtual ~KvMover() = default;
  // Starts a pass. The tables of `spans` must stay until its end.
  virtual absl::Status Begin(std::vector<PassSpan> spans) = 0;
  // Gives `rows` (the spans' rows, in order) tables that lead to the layer's pages. Returns the
  // base of these pages (AttentionArgs::pages), which is valid until the next call of Enter.
  virtual absl::StatusOr<std::byte*> Enter(int layer, absl::Span<AttentionRow> rows) = 0;
  // Once keys and values of the pass's rows are there, or queued.
  virtual absl::Status Appended(int layer) = 0;
  // Once the layer's attention is done, or queued.
  virtual absl::Status Attended(int layer) = 0;
  // Waits until the cache holds what the pass appended.
  virtual absl::Status End() = 0;
  // Where the rooms for trees begin (KvCache::tree_rooms), behind the base that Enter returns.
  virtual std::byte* tree_rooms() const = 0;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_KV_KV_MOVER_H_
