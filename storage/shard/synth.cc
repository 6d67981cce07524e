// Copies tiles of a small pool together, as fast as the disk takes them.
#include "storage/shard/synth.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "absl/base/macros.h"
#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/exception_status.h"
#include "kernels/base/mutex.h"
#include "kernels/base/status_macros.h"
#include "kernels/encodings/tile.h"
#include "storage/file/durable_file.h"
#include "storage/file/progress_interval.h"
#include "storage/shard/store_folder.h"
#include "storage/shard/store_plan.h"
#include "storage/store/store_geometry.h"
#include "storage/store/store_paths.h"

namespace sluice {
namespace {

// Enough that no block repeats within what a compressor looks back on.
constexpr int kPoolTiles = 16;
// Rows of the embedding: a power of two, so that a chunk of the file repeats them as they are.
constexpr int64_t kPoolRows = 256;

// Row r of a pool is Gaussian around 0 with a standard deviation of its own, about 1 / sqrt(k),
// which keeps activations in range through any number of layers.
class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}
  // RowBytes(encoding, k) bytes a row.
  std::vector<std::byte> Rows(Encoding encoding, int64_t num_rows, int64_t k) {
    const int64_t row_bytes = RowBytes(encoding, k);
    std::vector<std::byte> rows(num_rows * row_bytes);
    std::vector<float> values(k);
    for (int64_t row = 0; row < num_rows; ++row) {
      const float scale = std::exp(0.3f * normal_(random_)) / std::sqrt(static_cast<float>(k));
      for (float& value : values) value = scale * normal_(random_);
      EncodeRow(encoding, values.data(), k, rows.data() + row * row_bytes);
    }
    return rows;
  }

 private:
  std::mt19937_64 random_;
  std::normal_distribution<float> normal_;
};

// kPoolTiles tiles for each encoding and width that the plan has.
class TilePool {
 public:
  explicit TilePool(const Manifest& manifest) {
    for (const ManifestTensor& tensor : manifest.tensors) {
      if (PlaceOf(tensor.role) != TensorPlace::kSlabs) continue;
      const int64_t k = tensor.shape[1];
      std::vector<std::byte>& tiles = tiles_[{tensor.encoding, k}];
      if (!tiles.empty()) continue;
      const int64_t row_bytes = RowBytes(tensor.encoding, k);
      const int64_t tile_bytes = TileBytes(tensor.encoding, k);
      tiles.resize(kPoolTiles * tile_bytes);
      const std::vector<std::byte> rows =
          Generator(tiles_.size()).Rows(tensor.encoding, kPoolTiles * kTileRows, k);
      for (int64_t tile = 0; tile < kPoolTiles; ++tile) {
        PackTile(tensor.encoding, rows.data() + tile * kTileRows * row_bytes, row_bytes, kTileRows,
                 k, tiles.data() + tile * tile_bytes);
      }
    }
  }

  // The slab's tiles, in an order that its number sets.
  void Fill(const Manifest& manifest, int index, std::byte* out) const {
    const ManifestSlab& slab = manifest.slabs[index];
    const ManifestTensor& tensor = manifest.tensors[slab.tensors[0]];
    const int64_t tile_bytes = TileBytes(tensor.encoding, tensor.shape[1]);
    const std::byte* const tiles = tiles_.at({tensor.encoding, tensor.shape[1]}).data();
    std::mt19937_64 random(index);
    for (int64_t done = 0; done < slab.bytes; done += tile_bytes) {
      std::memcpy(out + done, tiles + random() % kPoolTiles * tile_bytes, tile_bytes);
    }
  }

 private:
  std::map<std::pair<Encoding, int64_t>, std::vector<std::byte>> tiles_;
};

// The padding rows of a last tile are zeros in a store; here every row is random.
absl::Status CheckShapes(const Manifest& manifest) {
  for (const ManifestTensor& tensor : manifest.tensors) {
    if (PlaceOf(tensor.role) == TensorPlace::kSlabs && tensor.shape[0] % kTileRows != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(tensor.name, " has ", tensor.shape[0], " rows, no multiple of ", kTileRows));
    }
  }
  return absl::OkStatus();
}

class Writer {
 public:
  Writer(const std::string& dir, const SynthOptions& options, StorePlan* plan)
      : dir_(dir), options_(options), plan_(*plan), pool_(plan->manifest) {
    for (const PlannedFile& file : plan_.files) bytes_total_ += file.bytes;
  }

  absl::Status Run() {
    for (size_t i = 0; i < plan_.files.size(); ++i) {
      const PlannedFile& file = plan_.files[i];
      const bool slabs = file.kind == PlannedFile::Kind::kSlabs;
      SLUICE_ASSIGN_OR_RETURN(const OutputFile output,
                              OutputFile::Create(absl::StrCat(dir_, "/", file.path), file.bytes,
                                                 slabs ? PageCache::kBypass : PageCache::kUse));
      if (slabs) {
        SLUICE_ASSIGN_OR_RETURN(const int64_t end, WriteSlabs(file, output));
        SLUICE_RETURN_IF_ERROR(output.Truncate(end));
        SetSlabFileBytes(static_cast<int>(i), end, &plan_);
      } else if (file.kind == PlannedFile::Kind::kEmbedding) {
        SLUICE_RETURN_IF_ERROR(WriteEmbedding(output));
      } else {
        SLUICE_RETURN_IF_ERROR(WriteResident(output));
      }
      SLUICE_RETURN_IF_ERROR(output.Sync());
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Progress(int64_t bytes) {
    bytes_done_ += bytes;
    if (options_.on_progress) options_.on_progress(bytes_done_, bytes_total_);
    if (options_.stop != nullptr && *options_.stop) {
      return absl::CancelledError(
          absl::StrCat(dir_, ": stopped; run the same command again to write it from the start"));
    }
    return absl::OkStatus();
  }

  absl::Status WriteResident(const OutputFile& output) {
    for (ManifestTensor& tensor : plan_.manifest.tensors) {
      if (PlaceOf(tensor.role) != TensorPlace::kResident) continue;
      const std::vector<float> ones(tensor.shape[0], 1.0f);
      const auto bytes = absl::MakeConstSpan(reinterpret_cast<const std::byte*>(ones.data()),
                                             ones.size() * sizeof(float));
      tensor.checksum = Checksum(bytes);
      SLUICE_RETURN_IF_ERROR(output.WriteAt(tensor.offset, bytes));
    }
    return Progress(plan_.manifest.resident_bytes);
  }

  absl::Status WriteEmbedding(const OutputFile& output) {
    const ManifestTensor& tensor = *plan_.manifest.Find(TensorRole::kEmbedding, -1);
    const int64_t row_bytes = RowBytes(tensor.encoding, tensor.shape[1]);
    const int64_t stride = plan_.manifest.embedding_stride;
    const std::vector<std::byte> rows =
        Generator(0).Rows(tensor.encoding, kPoolRows, tensor.shape[1]);
    std::vector<std::byte> chunk(kPoolRows * stride);
    for (int64_t row = 0; row < kPoolRows; ++row) {
      std::byte* const out = chunk.data() + row * stride;
      std::memcpy(out, rows.data() + row * row_bytes, row_bytes);
      StoreChecksum(Checksum({out, static_cast<size_t>(row_bytes)}), out + row_bytes);
    }
    for (int64_t row = 0; row < tensor.shape[0]; row += kPoolRows) {
      const int64_t bytes = std::min(kPoolRows, tensor.shape[0] - row) * stride;
      SLUICE_RETURN_IF_ERROR(output.WriteAt(row * stride, absl::MakeConstSpan(chunk).first(bytes)));
      SLUICE_RETURN_IF_ERROR(Progress(bytes));
    }
    return absl::OkStatus();
  }

  // Workers take slabs in order; the calling thread reports. Returns the end of the last slab.
  absl::StatusOr<int64_t> WriteSlabs(const PlannedFile& file, const OutputFile& output) {
    const int num_workers = std::max(1, options_.num_threads);
    {
      const MutexLock lock(&mutex_);
      next_slab_ = placed_ = file.first_slab;
      slabs_end_ = 0;
      running_ = num_workers;
    }
    std::vector<Thread> threads = StartWorkers(num_workers, [&] {
      absl::Status ended =
          CatchExceptions([&] { return WriteNextSlabs(file.first_slab + file.num_slabs, output); });
      const MutexLock lock(&mutex_);
      status_.Update(std::move(ended));
      --running_;
      changed_.NotifyAll();
    });
    ReportUntilDone();
    threads.clear();  // joins them
    const MutexLock lock(&mutex_);
    SLUICE_RETURN_IF_ERROR(status_);
    return slabs_end_;
  }

  // As many threads as the system allows; where that is none, status_ says why.
  std::vector<Thread> StartWorkers(int wanted, const std::function<void()>& work) {
    std::vector<Thread> threads;
    for (int i = 0; i < wanted; ++i) {
      absl::StatusOr<Thread> thread = Thread::Start("sluice-synth", work);
      if (thread.ok()) {
        threads.push_back(*std::move(thread));
        continue;
      }
      absl::Status shortage = ThreadShortage("for writing", wanted, i, thread.status());
      if (i > 0 && options_.on_fewer_threads && !std::exchange(said_fewer_threads_, true)) {
        options_.on_fewer_threads(shortage);
      }
      const MutexLock lock(&mutex_);
      if (i == 0) status_ = std::move(shortage);
      running_ -= wanted - i;
      break;
    }
    return threads;
  }

  void ReportUntilDone() {
    bool running = true;
    do {
      int64_t written;
      {
        const MutexLock lock(&mutex_);
        const auto report_at = std::chrono::system_clock::now() + kProgressInterval;
        while (running_ > 0 && !changed_.WaitUntil(&mutex_, report_at)) {
        }
        written = std::exchange(bytes_written_, 0);
        running = running_ > 0;
      }
      absl::Status status = Progress(written);
      const MutexLock lock(&mutex_);
      status_.Update(std::move(status));
    } while (running);
  }

  // A worker takes slabs until all before `end` are taken or one has failed.
  absl::Status WriteNextSlabs(int end, const OutputFile& output) {
    const AlignedBytes raw = AllocateAligned(plan_.manifest.max_slab_bytes());
    const AlignedBytes stored = AllocateAligned(plan_.manifest.max_slab_bytes());
    SlabEncoder encoder;
    while (true) {
      int index;
      {
        const MutexLock lock(&mutex_);
        if (!status_.ok() || next_slab_ == end) return absl::OkStatus();
        index = next_slab_++;
      }
      absl::Status written = WriteSlab(index, output, &encoder, raw.get(), stored.get());
      const MutexLock lock(&mutex_);
      status_.Update(std::move(written));
      bytes_written_ += plan_.manifest.slabs[index].raw_bytes;
    }
  }

  absl::Status WriteSlab(int index, const OutputFile& output, SlabEncoder* encoder, std::byte* raw,
                         std::byte* stored) {
    ManifestSlab& slab = plan_.manifest.slabs[index];
    pool_.Fill(plan_.manifest, index, raw);
    std::byte* bytes = raw;
    const absl::Status encoded = CatchExceptions([&]() -> absl::Status {
      const SlabCompression compression = CompressionToTry(plan_.manifest, slab);
      if (compression == SlabCompression::kNone) return absl::OkStatus();
      const auto raw_span = absl::MakeConstSpan(raw, slab.raw_bytes);
      SLUICE_ASSIGN_OR_RETURN(const auto size,
                              encoder->Encode(compression, raw_span, {stored, raw_span.size()}));
      if (size.has_value()) {
        bytes = stored;
        slab.bytes = *size;
        slab.compression = compression;
      }
      return absl::OkStatus();
    });
    Place(index);  // even after an error: the slabs behind this one wait for it
    SLUICE_RETURN_IF_ERROR(encoded);
    const int64_t padded = RoundUp(slab.bytes, kSlabAlignment);
    std::memset(bytes + slab.bytes, 0, padded - slab.bytes);
    slab.checksum = Checksum({bytes, static_cast<size_t>(slab.bytes)});
    return output.WriteAt(slab.offset, {bytes, static_cast<size_t>(padded)});
  }

  // Puts a slab behind the one before it, once that has its place.
  void Place(int index) {
    const MutexLock lock(&mutex_);
    while (placed_ != index) changed_.Wait(&mutex_);
    ManifestSlab& slab = plan_.manifest.slabs[index];
    slab.offset = slabs_end_;
    slabs_end_ += RoundUp(slab.bytes, kSlabAlignment);
    ++placed_;
    changed_.NotifyAll();
  }

  const std::string& dir_;
  const SynthOptions& options_;
  StorePlan& plan_;
  const TilePool pool_;
  int64_t bytes_done_ = 0;
  int64_t bytes_total_ = 0;
  bool said_fewer_threads_ = false;  // each file starts its threads anew

  // Of the file of slabs that is being written, the calling thread's and the workers'.
  Mutex mutex_;
  CondVar changed_;                                    // running_ or placed_
  int next_slab_ ABSL_GUARDED_BY(mutex_) = 0;          // the first that no worker has taken
  int placed_ ABSL_GUARDED_BY(mutex_) = 0;             // the first slab without a place
  int64_t slabs_end_ ABSL_GUARDED_BY(mutex_) = 0;      // of the last slab placed
  int running_ ABSL_GUARDED_BY(mutex_) = 0;            // workers
  int64_t bytes_written_ ABSL_GUARDED_BY(mutex_) = 0;  // since the last report
  absl::Status status_ ABSL_GUARDED_BY(mutex_);        // the first failure
};

uint64_t ShapeFingerprint(const HyperParameters& hyper_parameters) {
  return Checksum(HyperParametersToJson(hyper_parameters).dump());
}

// FailedPrecondition where the store is of other weights or options.
absl::Status CheckSame(const std::string& dir, FolderState state, const ShardRecord& store,
                       const Manifest& planned) {
  std::string difference = OptionsDifference(store, planned);
  if (store.source_fingerprint != planned.source_fingerprint) {
    difference = absl::StrCat("of ", store.source, ", not of ", planned.source);
  }
  return difference.empty() ? absl::OkStatus() : RefuseStore(dir, state, difference);
}

}  // namespace

bool IsSynthetic(const Manifest& manifest) {
  return manifest.source_fingerprint == ShapeFingerprint(manifest.hyper_parameters);
}

absl::StatusOr<SynthResult> Synthesize(const std::string& dir, const SynthOptions& options) {
  const std::string name = absl::StrCat("random ", options.name);
  StorePlan plan = PlanStore({.hyper_parameters = options.hyper_parameters,
                              .name = name,
                              .fingerprint = ShapeFingerprint(options.hyper_parameters),
                              .encoding = [](const TensorSpec&) { return Encoding::kBF16; }},
                             options.recipe, options.slab_bytes, options.compression);
  SLUICE_RETURN_IF_ERROR(CheckShapes(plan.manifest));
  SLUICE_ASSIGN_OR_RETURN(const FolderState before, InspectFolder(dir));
  if (before == FolderState::kFinished) {
    SLUICE_ASSIGN_OR_RETURN(Manifest found, ReadManifest(dir));
    SLUICE_RETURN_IF_ERROR(CheckSame(dir, before, NewRecord(found), plan.manifest));
    return SynthResult{std::move(found), /*complete=*/true};
  }
  SLUICE_RETURN_IF_ERROR(CheckThreadsStart("for writing", 1));
  if (before == FolderState::kAbsent) SLUICE_RETURN_IF_ERROR(MakeFolder(dir));
  SLUICE_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Acquire(dir, options.on_note));
  if (before == FolderState::kUnfinished) {
    SLUICE_ASSIGN_OR_RETURN(const ShardRecord begun, LoadRecord(dir, plan));
    SLUICE_RETURN_IF_ERROR(CheckSame(dir, before, begun, plan.manifest));
  }
  const ShardRecord record = NewRecord(plan.manifest);
  SLUICE_RETURN_IF_ERROR(CheckDiskSpace(dir, plan, record, /*other_bytes=*/int64_t{1} << 20));
  SLUICE_RETURN_IF_ERROR(WriteFileAtomically(dir, kUnfinishedFile, SerializeShardRecord(record)));
  SLUICE_RETURN_IF_ERROR(MakeFolder(absl::StrCat(dir, "/", kLayersFolder)));
  SLUICE_RETURN_IF_ERROR(MakeFolder(absl::StrCat(dir, "/", kTokenizerFolder)));
  SLUICE_RETURN_IF_ERROR(Writer(dir, options, &plan).Run());
  SLUICE_RETURN_IF_ERROR(SyncFolder(absl::StrCat(dir, "/", kLayersFolder)));
  SLUICE_RETURN_IF_ERROR(WriteFileAtomically(dir, kManifestFile, SerializeManifest(plan.manifest)));
  SLUICE_RETURN_IF_ERROR(RemoveFile(absl::StrCat(dir, "/", kUnfinishedFile)));
  SLUICE_RETURN_IF_ERROR(SyncFolder(dir));
  return SynthResult{std::move(plan.manifest)};
}

}  // namespace sluice
