// Does a sharder's work without its output.
#include "storage/shard/source_proof.h"

#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "storage/file/input_file.h"
#include "storage/shard/row_encoder.h"
#include "storage/shard/shard_job.h"
#include "storage/shard/store_folder.h"
#include "storage/store/store_geometry.h"

namespace sluice {
namespace {

class SourceProver {
 public:
  SourceProver(const Checkpoint& checkpoint, const std::string& dir, const Manifest& store,
               const SourceCheckOptions& options, StorePlan* plan)
      : checkpoint_(checkpoint),
        dir_(dir),
        store_(store),
        options_(options),
        plan_(*plan),
        made_(*plan),
        counters_(plan->manifest.tensors.size()),
        worker_(checkpoint, &made_, &counters_, abort_) {}

  absl::StatusOr<std::string> Run(const std::vector<int>& files) {
    for (const int file : files) bytes_total_ += SourceBytes(plan_, file);
    for (const int file : files) {
      for (const ShardJob& job : ListJobs(plan_, file)) {
        SLUICE_RETURN_IF_ERROR(worker_.Run(job, OutputFile(), [](int, int64_t) { return 0; }));
        SLUICE_ASSIGN_OR_RETURN(std::string difference, Compare(job));
        if (!difference.empty()) {
          return absl::StrCat(SourceDifference(store_.source, plan_.manifest), ", which gives ",
                              difference);
        }
        if (options_.on_progress) options_.on_progress(counters_.source_bytes, bytes_total_);
        if (options_.stop != nullptr && *options_.stop) {
          return absl::CancelledError("stopped before the checkpoint was compared");
        }
      }
      for (const int tensor : TensorsOf(plan_, file)) {
        plan_.source_checksums[tensor] = counters_.sums.Value(tensor);
      }
    }
    return std::string();
  }

 private:
  // Returns how the store's bytes differ from those of a job, or nothing.
  absl::StatusOr<std::string> Compare(const ShardJob& job) {
    switch (plan_.files[job.file].kind) {
      case PlannedFile::Kind::kSlabs: {
        const ManifestSlab& made = made_.manifest.slabs[job.slab];
        const ManifestSlab& stored = store_.slabs[job.slab];
        if (made.checksum == stored.checksum && made.bytes == stored.bytes) return std::string();
        return absl::StrCat("another slab ", job.slab, " of ", plan_.files[job.file].path,
                            stored.compression == SlabCompression::kNone
                                ? ""
                                : " (or this version of zstd compresses otherwise)");
      }
      case PlannedFile::Kind::kResident:
        for (size_t i = 0; i < store_.tensors.size(); ++i) {
          if (made_.manifest.tensors[i].checksum != store_.tensors[i].checksum) {
            return absl::StrCat("another ", store_.tensors[i].name);
          }
        }
        return std::string();
      case PlannedFile::Kind::kEmbedding:
        return CompareRows(job);
    }
    return absl::InternalError("a file of no kind");
  }

  absl::StatusOr<std::string> CompareRows(const ShardJob& job) {
    const absl::StatusOr<InputFile> file =
        InputFile::Open(PlannedPath(dir_, plan_, job.file), PageCache::kUse);
    if (!file.ok()) return std::string();  // there is nothing to compare with
    const ManifestTensor& tensor = store_.tensors[0];
    const int64_t stride = store_.embedding_stride;
    const int64_t row_bytes = RowBytes(tensor.encoding, tensor.shape[1]);
    RowEncoder encoder(checkpoint_);
    SLUICE_ASSIGN_OR_RETURN(const auto rows, encoder.Rows(*plan_.sources[0], tensor.encoding,
                                                          job.first_row, job.num_rows));
    std::vector<std::byte> stored(job.num_rows * stride);
    const absl::StatusOr<int64_t> read =
        file->ReadAt(job.first_row * stride, absl::MakeSpan(stored));
    if (!read.ok()) return std::string();
    for (int64_t row = 0; (row + 1) * stride <= *read; ++row) {
      const auto bytes = absl::MakeConstSpan(stored).subspan(row * stride, row_bytes);
      // This row of the store is damaged
      if (Checksum(bytes) != LoadChecksum(bytes.data() + row_bytes)) continue;
      if (bytes != rows.subspan(row * row_bytes, row_bytes)) {
        return absl::StrCat("another row ", job.first_row + row, " of ", kEmbeddingFile);
      }
    }
    return std::string();
  }

  const Checkpoint& checkpoint_;
  const std::string& dir_;
  const Manifest& store_;
  const SourceCheckOptions& options_;
  StorePlan& plan_;
  StorePlan made_;  // with the checksums of the bytes that were made here
  ShardCounters counters_;
  std::atomic<bool> abort_{false};
  ShardWorker worker_;
  int64_t bytes_total_ = 0;
};

}  // namespace

absl::StatusOr<std::string> DisproveSource(const Checkpoint& checkpoint, const std::string& dir,
                                           const Manifest& store, const std::vector<int>& files,
                                           const SourceCheckOptions& options, StorePlan* plan) {
  return SourceProver(checkpoint, dir, store, options, plan).Run(files);
}

}  // namespace sluice
