// Reads slabs in units of tiles, verifies them on the way, and unpacks the wanted tensor's tiles.
#include "storage/export.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/status_macros.h"
#include "kernels/tile.h"
#include "storage/input_file.h"
#include "storage/running_checksum.h"
#include "storage/store_geometry.h"

namespace sluice {
namespace {

using Sink = absl::FunctionRef<absl::Status(absl::Span<const std::byte>)>;

constexpr int64_t kUnitBytes = int64_t{4} << 20;

absl::Status ReadSlab(const LayerStore& store, int index, int wanted, const InputFile& file,
                      Sink sink) {
  const Manifest& manifest = store.manifest();
  const ManifestSlab& slab = manifest.slabs[index];
  const ManifestTensor& tensor = manifest.tensors[wanted];
  const int64_t k = tensor.shape[1];
  const int64_t row_bytes = RowBytes(tensor.encoding, k);
  const int64_t tile_bytes = TileBytes(tensor.encoding, k);
  const int64_t step = slab.bytes / slab.num_tiles;  // a tile of each of the slab's tensors
  const int64_t place = slab.tensors[0] == wanted ? 0 : tile_bytes;
  const int64_t per_unit = std::max<int64_t>(1, kUnitBytes / step);
  std::vector<std::byte> unit, rows;
  RunningChecksum checksum;
  for (int64_t done = 0; done < slab.num_tiles; done += per_unit) {
    const int64_t n = std::min(per_unit, slab.num_tiles - done);
    unit.resize(n * step);
    SLUICE_RETURN_IF_ERROR(file.ReadAllAt(slab.offset + done * step, absl::MakeSpan(unit)));
    checksum.Add(unit);
    const int64_t first_row = (slab.first_tile + done) * kTileRows;
    const int64_t num_rows = std::min(n * kTileRows, tensor.shape[0] - first_row);
    rows.resize(num_rows * row_bytes);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = i * kTileRows;
      UnpackTile(tensor.encoding, unit.data() + i * step + place,
                 static_cast<int>(std::min<int64_t>(kTileRows, num_rows - row)), k,
                 rows.data() + row * row_bytes, row_bytes);
    }
    SLUICE_RETURN_IF_ERROR(sink(rows));
  }
  if (const uint64_t got = checksum.Value(); got != slab.checksum) {
    return absl::DataLossError(absl::StrCat(
        file.path(), ": slab ", index, " at byte ", slab.offset, ": XXH3 ", ChecksumToHex(got),
        ", the manifest says ", ChecksumToHex(slab.checksum), "; shard the checkpoint again"));
  }
  return absl::OkStatus();
}

absl::Status ReadMatrix(const LayerStore& store, int wanted, Sink sink) {
  const Manifest& manifest = store.manifest();
  for (int i = 0; i < manifest.slabs.size(); ++i) {  // a matrix's slabs come in its order
    const ManifestSlab& slab = manifest.slabs[i];
    if (std::find(slab.tensors.begin(), slab.tensors.end(), wanted) == slab.tensors.end()) continue;
    SLUICE_ASSIGN_OR_RETURN(const InputFile file,
                            InputFile::Open(store.FilePath(slab.file), PageCache::kUse));
    SLUICE_RETURN_IF_ERROR(ReadSlab(store, i, wanted, file, sink));
  }
  return absl::OkStatus();
}

absl::Status ReadEmbedding(const LayerStore& store, const ManifestTensor& tensor, Sink sink) {
  const int64_t stride = store.manifest().embedding_stride;
  const int64_t row_bytes = RowBytes(tensor.encoding, tensor.shape[1]);
  const int64_t per_unit = std::max<int64_t>(1, kUnitBytes / stride);
  SLUICE_ASSIGN_OR_RETURN(const InputFile file,
                          InputFile::Open(store.EmbeddingPath(), PageCache::kUse));
  std::vector<std::byte> unit, rows;
  for (int64_t first = 0; first < tensor.shape[0]; first += per_unit) {
    const int64_t n = std::min(per_unit, tensor.shape[0] - first);
    unit.resize(n * stride);
    SLUICE_RETURN_IF_ERROR(file.ReadAllAt(first * stride, absl::MakeSpan(unit)));
    rows.clear();
    for (int64_t i = 0; i < n; ++i) {
      const auto row = absl::MakeConstSpan(unit).subspan(i * stride, row_bytes);
      if (Checksum(row) != LoadChecksum(row.data() + row_bytes)) {
        return absl::DataLossError(absl::StrCat(file.path(), ": row ", first + i, " at byte ",
                                                (first + i) * stride,
                                                ": wrong checksum; shard the checkpoint again"));
      }
      rows.insert(rows.end(), row.begin(), row.end());
    }
    SLUICE_RETURN_IF_ERROR(sink(rows));
  }
  return absl::OkStatus();
}

// Lists names that contain the asked one.
absl::Status NoSuchTensor(const LayerStore& store, absl::string_view name) {
  std::string message = absl::StrCat(store.dir(), ": no tensor ", name);
  int shown = 0;
  for (const ManifestTensor& tensor : store.manifest().tensors) {
    if (shown == 5 || !absl::StrContains(tensor.name, name)) continue;
    absl::StrAppend(&message, shown++ == 0 ? "; there are " : ", ", tensor.name);
  }
  if (shown == 0) {
    absl::StrAppend(&message, "; names are the checkpoint's, as ",
                    store.manifest().tensors.front().name);
  }
  return absl::NotFoundError(message);
}

}  // namespace

absl::Status ReadTensor(const LayerStore& store, int tensor, Sink sink) {
  const ManifestTensor& entry = store.manifest().tensors[tensor];
  switch (PlaceOf(entry.role)) {
    case TensorPlace::kSlabs:
      return ReadMatrix(store, tensor, sink);
    case TensorPlace::kRows:
      return ReadEmbedding(store, entry, sink);
    case TensorPlace::kResident: {
      const absl::Span<const float> values = store.Resident(entry.role, entry.layer);
      return sink(
          {reinterpret_cast<const std::byte*>(values.data()), values.size() * sizeof(float)});
    }
  }
  return absl::InternalError("a tensor of no place");
}

absl::Status ExportTensor(const LayerStore& store, absl::string_view name,
                          const std::string& output_path) {
  const std::vector<ManifestTensor>& tensors = store.manifest().tensors;
  const auto found =
      std::find_if(tensors.begin(), tensors.end(),
                   [&](const ManifestTensor& tensor) { return tensor.name == name; });
  if (found == tensors.end()) return NoSuchTensor(store, name);
  const std::string temporary = absl::StrCat(output_path, ".tmp");
  const auto write = [&]() -> absl::Status {
    SLUICE_ASSIGN_OR_RETURN(const OutputFile output,
                            OutputFile::Create(temporary, 0, PageCache::kUse));
    int64_t offset = 0;
    SLUICE_RETURN_IF_ERROR(ReadTensor(store, static_cast<int>(found - tensors.begin()),
                                      [&](absl::Span<const std::byte> rows) {
                                        offset += static_cast<int64_t>(rows.size());
                                        return output.WriteAt(offset - rows.size(), rows);
                                      }));
    return output.Sync();
  };
  if (absl::Status status = write(); !status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  if (rename(temporary.c_str(), output_path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return FileError(error, "rename to", output_path);
  }
  return absl::OkStatus();
}

}  // namespace sluice
