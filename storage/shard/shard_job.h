// One worker's share of sharding: a slab, some rows of the embedding, or the resident tensors.
#ifndef SLUICE_STORAGE_SHARD_SHARD_JOB_H_
#define SLUICE_STORAGE_SHARD_SHARD_JOB_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/file/checksum.h"
#include "storage/file/durable_file.h"
#include "storage/shard/row_encoder.h"
#include "storage/shard/source_sums.h"
#include "storage/shard/store_plan.h"
#include "storage/store/slab_codec.h"

namespace sluice {

// A buffer for O_DIRECT that grows.
class AlignedBuffer {
 public:
  // The former content is lost if the buffer has to grow.
  std::byte* Reserve(int64_t bytes) {
    if (capacity_ < bytes) {
      bytes_.reset();
      bytes_ = AllocateAligned(bytes);
      capacity_ = bytes;
    }
    return bytes_.get();
  }

 private:
  AlignedBytes bytes_;
  int64_t capacity_ = 0;
};

struct ShardJob {
  int file;               // of StorePlan::files
  int slab = -1;          // of Manifest::slabs, for files of slabs
  int64_t first_row = 0;  // for the embedding
  int64_t num_rows = 0;
};

// Lists the jobs that fill one file. Their order and their number do not depend on threads.
std::vector<ShardJob> ListJobs(const StorePlan& plan, int file);

// Returns how many bytes of the checkpoint a file is made from.
int64_t SourceBytes(const StorePlan& plan, int file);

// The counters that all workers share.
struct ShardCounters {
  explicit ShardCounters(size_t num_tensors) : sums(num_tensors) {}
  std::atomic<int64_t> source_bytes{0};
  std::atomic<int64_t> stored_bytes{0};
  SourceSums sums;  // of the tensors whose files this process fills
};

// Returns where in its file slab `slab`, of `stored_bytes`, begins. Blocks until the file's earlier
// slabs have asked; their jobs must have begun. Cancelled: one of those jobs failed.
using PlaceSlab = absl::FunctionRef<absl::StatusOr<int64_t>(int slab, int64_t stored_bytes)>;

// Does jobs with buffers of its own. Long slabs are done in units of several tiles, so that
// MaxBytes() bounds the buffers, whatever the slab's size. Only a slab that is to be compressed is
// held whole.
class ShardWorker {
 public:
  // Each job writes checksums, and slabs' offsets, stored bytes and compression, into
  // plan->manifest, for its own slab or tensors only. All arguments must outlive the worker.
  ShardWorker(const Checkpoint& checkpoint, StorePlan* plan, ShardCounters* counters,
              const std::atomic<bool>& abort)
      : plan_(*plan), counters_(*counters), abort_(abort), encoder_(checkpoint) {}

  // Returns how the file of a job's `output` must be opened. Slabs are written in whole 4 KiB
  // blocks past the page cache, which took three times as long (1 GB to a virtual NVMe disk).
  static PageCache CacheFor(const PlannedFile& file);

  // Cancelled: `abort` was set; the worker looks at it within a unit. If `output` is not open,
  // everything is computed and nothing written.
  absl::Status Run(const ShardJob& job, const OutputFile& output, PlaceSlab place_slab);

  // Returns the most that a worker's buffers can take for this plan.
  static int64_t MaxBytes(const StorePlan& plan);

 private:
  absl::Status WriteResident(const OutputFile& output);
  absl::Status WriteEmbedding(const ShardJob& job, const OutputFile& output);
  absl::Status WriteSlab(int slab, const OutputFile& output, PlaceSlab place_slab);
  absl::Status CompressSlab(int slab, const OutputFile& output, PlaceSlab place_slab);
  absl::Status PackTiles(const ManifestSlab& slab, int64_t first_tile, int64_t num_tiles,
                         std::byte* out);
  absl::Status Write(const OutputFile& output, int64_t offset, absl::Span<const std::byte> bytes);
  // Adds the rows that the encoder has just read of a tensor, from `first_row` on, to the sums.
  void CountRows(int tensor, int64_t first_row);

  StorePlan& plan_;
  ShardCounters& counters_;
  const std::atomic<bool>& abort_;
  RowEncoder encoder_;
  RunningChecksum checksum_;
  std::vector<std::byte> rows_;  // of the embedding, with their checksums
  SlabEncoder slab_encoder_;
  // The tiles of a unit, behind less than 4 KiB that the previous unit left; or all tiles of a slab
  // that is to be compressed.
  AlignedBuffer tiles_;
  AlignedBuffer compressed_;
};

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_SHARD_JOB_H_
