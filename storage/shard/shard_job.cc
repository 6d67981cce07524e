// Reads rows, encodes them, packs tiles, checksums and writes, unit by unit in a slab's order.
#include "storage/shard/shard_job.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/status_macros.h"
#include "storage/store/store_geometry.h"

namespace sluice {
namespace {

// The size of a unit's source rows, encoded rows and output together. It is large enough for
// sequential reads of over a megabyte, and small enough for many threads.
constexpr int64_t kUnitBytes = int64_t{6} << 20;

int64_t SourceRowBytes(const CheckpointTensor& tensor) {
  return RowBytes(tensor.encoding, tensor.shape.back());
}

// Returns the bytes that a tile of each of the slab's tensors needs in a worker's buffers.
int64_t TileBufferBytes(const StorePlan& plan, const std::vector<int>& tensors) {
  int64_t output = 0, rows = 0;
  for (const int index : tensors) {
    const ManifestTensor& tensor = plan.manifest.tensors[index];
    const int64_t k = tensor.shape[1];
    output += TileBytes(tensor.encoding, k);
    const CheckpointTensor& source = *plan.sources[index];
    // A row that is not stored in its place needs room as it is stored, and in order.
    const int64_t copies = 1 + source.view->ScratchRows(1) - source.view->ScratchRows(0);
    rows = std::max(rows, copies * SourceRowBytes(source) + RowBytes(tensor.encoding, k));
  }
  return output + kTileRows * rows;
}

// Rows that must be put in order may need others beside them; returns what those can add to a unit.
int64_t PartHeadBytes(const StorePlan& plan) {
  int64_t most = 0;
  for (const CheckpointTensor* source : plan.sources) {
    if (source->shape.size() == 1) continue;
    most = std::max(most, source->view->ScratchRows(0) * SourceRowBytes(*source));
  }
  return most;
}

int64_t TilesPerUnit(const StorePlan& plan, const std::vector<int>& tensors) {
  return std::max<int64_t>(1, kUnitBytes / TileBufferBytes(plan, tensors));
}

int64_t EmbeddingRowBufferBytes(const StorePlan& plan) {
  return 2 * plan.manifest.embedding_stride + SourceRowBytes(*plan.sources[0]);
}

// Returns the source bytes of all rows of the tensor's tiles, as far as the rows exist.
int64_t SourceBytesOfTiles(const StorePlan& plan, int tensor, int64_t first_tile,
                           int64_t num_tiles) {
  const int64_t end =
      std::min((first_tile + num_tiles) * kTileRows, plan.manifest.tensors[tensor].shape[0]);
  return (end - first_tile * kTileRows) * SourceRowBytes(*plan.sources[tensor]);
}

}  // namespace

std::vector<ShardJob> ListJobs(const StorePlan& plan, int file) {
  const PlannedFile& planned = plan.files[file];
  std::vector<ShardJob> jobs;
  switch (planned.kind) {
    case PlannedFile::Kind::kResident:
      jobs.push_back({file});
      break;
    case PlannedFile::Kind::kEmbedding: {
      const int64_t rows = plan.manifest.tensors[0].shape[0];
      const int64_t per_job = std::max<int64_t>(1, kUnitBytes / EmbeddingRowBufferBytes(plan));
      for (int64_t row = 0; row < rows; row += per_job) {
        jobs.push_back({file, -1, row, std::min(per_job, rows - row)});
      }
      break;
    }
    case PlannedFile::Kind::kSlabs:
      for (int i = 0; i < planned.num_slabs; ++i) jobs.push_back({file, planned.first_slab + i});
      break;
  }
  return jobs;
}

int64_t SourceBytes(const StorePlan& plan, int file) {
  const PlannedFile& planned = plan.files[file];
  int64_t bytes = 0;
  switch (planned.kind) {
    case PlannedFile::Kind::kResident:
      for (size_t i = 0; i < plan.sources.size(); ++i) {
        if (PlaceOf(plan.manifest.tensors[i].role) == TensorPlace::kResident) {
          bytes += plan.sources[i]->bytes;
        }
      }
      break;
    case PlannedFile::Kind::kEmbedding:
      bytes = plan.sources[0]->bytes;
      break;
    case PlannedFile::Kind::kSlabs:
      for (int i = 0; i < planned.num_slabs; ++i) {
        const ManifestSlab& slab = plan.manifest.slabs[planned.first_slab + i];
        for (const int tensor : slab.tensors) {
          bytes += SourceBytesOfTiles(plan, tensor, slab.first_tile, slab.num_tiles);
        }
      }
      break;
  }
  return bytes;
}

int64_t ShardWorker::MaxBytes(const StorePlan& plan) {
  int64_t most = std::max(kUnitBytes, EmbeddingRowBufferBytes(plan));
  int64_t compressed = 0;  // the longest slab's tiles, and their compressed bytes
  for (const ManifestSlab& slab : plan.manifest.slabs) {
    most = std::max(most, TileBufferBytes(plan, slab.tensors));
    if (CompressionToTry(plan.manifest, slab) != SlabCompression::kNone) {
      compressed = std::max(compressed, 2 * RoundUp(slab.raw_bytes, kSlabAlignment));
    }
  }
  return most + compressed + PartHeadBytes(plan);
}

PageCache ShardWorker::CacheFor(const PlannedFile& file) {
  return file.kind == PlannedFile::Kind::kSlabs ? PageCache::kBypass : PageCache::kUse;
}

absl::Status ShardWorker::Run(const ShardJob& job, const OutputFile& output, PlaceSlab place_slab) {
  switch (plan_.files[job.file].kind) {
    case PlannedFile::Kind::kResident:
      return WriteResident(output);
    case PlannedFile::Kind::kEmbedding:
      return WriteEmbedding(job, output);
    case PlannedFile::Kind::kSlabs:
      return CompressionToTry(plan_.manifest, plan_.manifest.slabs[job.slab]) ==
                     SlabCompression::kNone
                 ? WriteSlab(job.slab, output, place_slab)
                 : CompressSlab(job.slab, output, place_slab);
  }
  return absl::InternalError("a file of no kind");
}

absl::Status ShardWorker::Write(const OutputFile& output, int64_t offset,
                                absl::Span<const std::byte> bytes) {
  if (output.is_open()) SLUICE_RETURN_IF_ERROR(output.WriteAt(offset, bytes));
  counters_.stored_bytes += static_cast<int64_t>(bytes.size());
  if (abort_) return absl::CancelledError("stopped");
  return absl::OkStatus();
}

void ShardWorker::CountRows(int tensor, int64_t first_row) {
  const absl::Span<const std::byte> rows = encoder_.source();
  counters_.sums.Add(tensor, first_row, SourceRowBytes(*plan_.sources[tensor]), rows);
  counters_.source_bytes += static_cast<int64_t>(rows.size());
}

absl::Status ShardWorker::WriteResident(const OutputFile& output) {
  for (size_t i = 0; i < plan_.sources.size(); ++i) {
    ManifestTensor& tensor = plan_.manifest.tensors[i];
    if (PlaceOf(tensor.role) != TensorPlace::kResident) continue;
    const CheckpointTensor& source = *plan_.sources[i];
    SLUICE_ASSIGN_OR_RETURN(const auto values, encoder_.Rows(source, Encoding::kF32, 0, 1));
    tensor.checksum = Checksum(values);
    CountRows(static_cast<int>(i), 0);
    SLUICE_RETURN_IF_ERROR(Write(output, tensor.offset, values));
  }
  return absl::OkStatus();
}

absl::Status ShardWorker::WriteEmbedding(const ShardJob& job, const OutputFile& output) {
  const Encoding encoding = plan_.manifest.tensors[0].encoding;
  const CheckpointTensor& source = *plan_.sources[0];
  const int64_t stride = plan_.manifest.embedding_stride;
  const int64_t row_bytes = RowBytes(encoding, source.shape[1]);
  SLUICE_ASSIGN_OR_RETURN(const auto rows,
                          encoder_.Rows(source, encoding, job.first_row, job.num_rows));
  CountRows(0, job.first_row);
  rows_.assign(job.num_rows * stride, std::byte{0});
  for (int64_t i = 0; i < job.num_rows; ++i) {
    const auto row = rows.subspan(i * row_bytes, row_bytes);
    std::byte* out = rows_.data() + i * stride;
    std::memcpy(out, row.data(), row_bytes);
    StoreChecksum(Checksum(row), out + row_bytes);
  }
  return Write(output, job.first_row * stride, rows_);
}

// Packs tiles [first_tile, first_tile + num_tiles) of each of the slab's tensors, which take turns.
absl::Status ShardWorker::PackTiles(const ManifestSlab& slab, int64_t first_tile, int64_t num_tiles,
                                    std::byte* out) {
  const int64_t num_tensors = static_cast<int64_t>(slab.tensors.size());
  for (int64_t t = 0; t < num_tensors; ++t) {
    const ManifestTensor& tensor = plan_.manifest.tensors[slab.tensors[t]];
    const CheckpointTensor& source = *plan_.sources[slab.tensors[t]];
    const int64_t k = tensor.shape[1];
    const int64_t row_bytes = RowBytes(tensor.encoding, k);
    const int64_t tile_bytes = TileBytes(tensor.encoding, k);
    const int64_t first_row = first_tile * kTileRows;
    const int64_t num_rows = std::min(num_tiles * kTileRows, tensor.shape[0] - first_row);
    SLUICE_ASSIGN_OR_RETURN(const auto rows,
                            encoder_.Rows(source, tensor.encoding, first_row, num_rows));
    CountRows(slab.tensors[t], first_row);
    for (int64_t i = 0; i < num_tiles; ++i) {
      const int64_t row = i * kTileRows;
      PackTile(tensor.encoding, rows.data() + row * row_bytes, row_bytes,
               static_cast<int>(std::min<int64_t>(kTileRows, num_rows - row)), k,
               out + (i * num_tensors + t) * tile_bytes);
    }
  }
  return absl::OkStatus();
}

absl::Status ShardWorker::WriteSlab(int index, const OutputFile& output, PlaceSlab place_slab) {
  ManifestSlab& slab = plan_.manifest.slabs[index];
  SLUICE_ASSIGN_OR_RETURN(slab.offset, place_slab(index, slab.bytes));
  const int64_t step = slab.bytes / slab.num_tiles;  // a tile of each of its tensors
  const int64_t end = slab.first_tile + slab.num_tiles;
  const int64_t per_unit = TilesPerUnit(plan_, slab.tensors);
  std::byte* const tiles = tiles_.Reserve(
      RoundUp(kSlabAlignment + std::min(per_unit, slab.num_tiles) * step, kSlabAlignment));
  checksum_.Reset();
  int64_t offset = slab.offset;
  int64_t held = 0;  // bytes in `tiles` that are still to be written at `offset`
  for (int64_t tile = slab.first_tile; tile < end; tile += per_unit) {
    const int64_t n = std::min(per_unit, end - tile);
    SLUICE_RETURN_IF_ERROR(PackTiles(slab, tile, n, tiles + held));
    checksum_.Add({tiles + held, static_cast<size_t>(n * step)});
    held += n * step;
    if (tile + n == end) {  // the slab's padding
      std::memset(tiles + held, 0, RoundUp(held, kSlabAlignment) - held);
      held = RoundUp(held, kSlabAlignment);
    }
    const int64_t blocks = held / kSlabAlignment * kSlabAlignment;
    SLUICE_RETURN_IF_ERROR(Write(output, offset, {tiles, static_cast<size_t>(blocks)}));
    offset += blocks;
    held -= blocks;
    std::memmove(tiles, tiles + blocks, held);
  }
  slab.checksum = checksum_.Value();
  return absl::OkStatus();
}

absl::Status ShardWorker::CompressSlab(int index, const OutputFile& output, PlaceSlab place_slab) {
  ManifestSlab& slab = plan_.manifest.slabs[index];
  const int64_t padded = RoundUp(slab.raw_bytes, kSlabAlignment);
  const int64_t step = slab.raw_bytes / slab.num_tiles;  // a tile of each of its tensors
  const int64_t per_unit = TilesPerUnit(plan_, slab.tensors);
  std::byte* bytes = tiles_.Reserve(padded);
  std::byte* const compressed = compressed_.Reserve(padded);
  for (int64_t done = 0; done < slab.num_tiles; done += per_unit) {
    SLUICE_RETURN_IF_ERROR(PackTiles(slab, slab.first_tile + done,
                                     std::min(per_unit, slab.num_tiles - done),
                                     bytes + done * step));
    if (abort_) return absl::CancelledError("stopped");
  }
  const SlabCompression compression = CompressionToTry(plan_.manifest, slab);
  SLUICE_ASSIGN_OR_RETURN(
      const std::optional<int64_t> compressed_bytes,
      slab_encoder_.Encode(compression, {bytes, static_cast<size_t>(slab.raw_bytes)},
                           {compressed, static_cast<size_t>(padded)}));
  if (compressed_bytes.has_value()) {
    slab.compression = compression;
    slab.bytes = *compressed_bytes;
    bytes = compressed;
  }
  slab.checksum = Checksum({bytes, static_cast<size_t>(slab.bytes)});
  const int64_t stored = RoundUp(slab.bytes, kSlabAlignment);
  std::memset(bytes + slab.bytes, 0, stored - slab.bytes);
  SLUICE_ASSIGN_OR_RETURN(slab.offset, place_slab(index, slab.bytes));
  return Write(output, slab.offset, {bytes, static_cast<size_t>(stored)});
}

}  // namespace sluice
