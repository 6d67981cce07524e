// Pages of preempted sequences in a file: written through the engine that reads the slabs, and read
// back.
#ifndef SLUICE_RUNTIME_KV_KV_SWAP_H_
#define SLUICE_RUNTIME_KV_KV_SWAP_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "prefetch/io/io_batch.h"
#include "runtime/kv/kv_cache.h"
#include "runtime/kv/kv_file.h"
#include "runtime/kv/resume_cost.h"
#include "runtime/kv/swap_space.h"

namespace sluice {

// Holds the file's slots behind those of the cache's pages on disk. Calls wait for the disk; none
// may be made while a pass is computed. Thread-compatible.
class KvSwap : public SwapSpace {
 public:
  // What it and its slots of the file hold in memory.
  static int64_t MemoryBytes(int64_t num_layers, int64_t num_slots);

  // Pages of `cache`, which is in host memory, to `file`; both must outlive this.
  KvSwap(const KvCache* cache, KvFile* file, const ResumeCosts& costs);

  bool Pays(int64_t pages, int64_t rows) const override;
  std::optional<std::vector<int32_t>> Write(absl::Span<const int32_t> pages) override;
  int64_t Read(absl::Span<const int32_t> slots, absl::Span<const int32_t> pages) override;
  void Drop(absl::Span<const int32_t> slots) override;

  // The first failure. After one nothing more is written, so that sequences are computed again.
  const absl::Status& status() const { return status_; }
  int64_t free_slots() const { return static_cast<int64_t>(free_.size()); }

 private:
  absl::Span<std::byte> PageAt(int64_t layer, int32_t page) const;
  // Copies one to the other in all layers; how many pages there are up to the first one that
  // failed.
  int64_t Copy(bool write, absl::Span<const int32_t> slots, absl::Span<const int32_t> pages);
  // Of pages that are in memory.
  int64_t CopyMemory(bool write, absl::Span<const int32_t> slots, absl::Span<const int32_t> pages);
  // Of one that is on disk itself, through the room that layers have for those.
  absl::Status CopyWithinFile(int32_t from_slot, int32_t to_slot);

  const KvCache* const cache_;
  KvFile* const file_;
  const int64_t num_layers_;
  const ResumeCosts costs_;
  IoBatch batch_;
  std::vector<int32_t> free_;  // slots; a stack, lowest on top
  int64_t bytes_ = 0;          // copied, and
  double seconds_ = 0;         // how long that took
  absl::Status status_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_KV_KV_SWAP_H_
