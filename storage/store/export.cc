// Reads slabs in units of tiles, compressed ones whole, verifies them on the way, and unpacks the
// wanted tensor's tiles.
#include "storage/store/export.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/encodings/tile.h"
#include "storage/file/checksum.h"
#include "storage/file/input_file.h"
#include "storage/store/repair_advice.h"
#include "storage/store/slab_codec.h"
#include "storage/store/store_geometry.h"

namespace sluice {
namespace {

using Sink = absl::FunctionRef<absl::Status(absl::Span<const std::byte>)>;

constexpr int64_t kExportUnitBytes = int64_t{4} << 20;

// One slab that holds tiles of the tensor `wanted`.
class SlabReader {
 public:
  SlabReader(const LayerStore& store, int slab, int wanted, const InputFile& file, Sink sink)
      : manifest_(store.manifest()),
        index_(slab),
        slab_(manifest_.slabs[slab]),
        tensor_(manifest_.tensors[wanted]),
        step_(slab_.raw_bytes / slab_.num_tiles),
        place_(slab_.tensors[0] == wanted ? 0 : TileBytes(tensor_.encoding, tensor_.shape[1])),
        file_(file),
        sink_(sink) {}

  absl::Status Read() {
    return slab_.compression == SlabCompression::kNone ? ReadRaw() : ReadCompressed();
  }

 private:
  absl::Status ReadRaw();
  absl::Status ReadCompressed();
  absl::Status Unpack(int64_t first_tile, int64_t num_tiles, const std::byte* tiles);
  absl::Status CompareChecksum(uint64_t got) const;
  std::string Where() const {
    return absl::StrCat(file_.path(), ": slab ", index_, " at byte ", slab_.offset, ": ");
  }
  int64_t tiles_per_unit() const { return std::max<int64_t>(1, kExportUnitBytes / step_); }

  const Manifest& manifest_;
  const int index_;
  const ManifestSlab& slab_;
  const ManifestTensor& tensor_;
  const int64_t step_;   // a tile of each of the slab's tensors
  const int64_t place_;  // of the wanted tile in that
  const InputFile& file_;
  Sink sink_;
  std::vector<std::byte> rows_;
};

// `tiles` are the slab's from `first_tile` (of the slab) on.
absl::Status SlabReader::Unpack(int64_t first_tile, int64_t num_tiles, const std::byte* tiles) {
  const int64_t k = tensor_.shape[1];
  const int64_t row_bytes = RowBytes(tensor_.encoding, k);
  const int64_t first_row = (slab_.first_tile + first_tile) * kTileRows;
  const int64_t num_rows = std::min(num_tiles * kTileRows, tensor_.shape[0] - first_row);
  rows_.resize(num_rows * row_bytes);
  for (int64_t i = 0; i < num_tiles; ++i) {
    const int64_t row = i * kTileRows;
    UnpackTile(tensor_.encoding, tiles + i * step_ + place_,
               static_cast<int>(std::min<int64_t>(kTileRows, num_rows - row)), k,
               rows_.data() + row * row_bytes, row_bytes);
  }
  return sink_(rows_);
}

absl::Status SlabReader::CompareChecksum(uint64_t got) const {
  if (got == slab_.checksum) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(Where(), "XXH3 ", ChecksumToHex(got),
                                          ", the manifest says ", ChecksumToHex(slab_.checksum),
                                          "; ", kRepairAdvice));
}

absl::Status SlabReader::ReadRaw() {
  std::vector<std::byte> unit;
  RunningChecksum checksum;
  for (int64_t done = 0; done < slab_.num_tiles; done += tiles_per_unit()) {
    const int64_t n = std::min(tiles_per_unit(), slab_.num_tiles - done);
    unit.resize(n * step_);
    SLUICE_RETURN_IF_ERROR(file_.ReadAllAt(slab_.offset + done * step_, absl::MakeSpan(unit)));
    checksum.Add(unit);
    SLUICE_RETURN_IF_ERROR(Unpack(done, n, unit.data()));
  }
  return CompareChecksum(checksum.Value());
}

absl::Status SlabReader::ReadCompressed() {
  std::vector<std::byte> place(CompressedPlaceBytes(slab_.raw_bytes));
  const auto stored =
      absl::MakeSpan(place).last(RoundUp(slab_.bytes, kSlabAlignment)).first(slab_.bytes);
  SLUICE_RETURN_IF_ERROR(file_.ReadAllAt(slab_.offset, stored));
  SLUICE_RETURN_IF_ERROR(CompareChecksum(Checksum(stored)));
  const absl::Status status =
      SlabDecoder().Decode(slab_.compression, absl::MakeSpan(place), slab_.bytes, slab_.raw_bytes);
  if (!status.ok()) return absl::Status(status.code(), absl::StrCat(Where(), status.message()));
  for (int64_t done = 0; done < slab_.num_tiles; done += tiles_per_unit()) {
    const int64_t n = std::min(tiles_per_unit(), slab_.num_tiles - done);
    SLUICE_RETURN_IF_ERROR(Unpack(done, n, place.data() + done * step_));
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
    SLUICE_RETURN_IF_ERROR(SlabReader(store, i, wanted, file, sink).Read());
  }
  return absl::OkStatus();
}

absl::Status ReadEmbedding(const LayerStore& store, const ManifestTensor& tensor, Sink sink) {
  const int64_t stride = store.manifest().embedding_stride;
  const int64_t row_bytes = RowBytes(tensor.encoding, tensor.shape[1]);
  const int64_t per_unit = std::max<int64_t>(1, kExportUnitBytes / stride);
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
                                                (first + i) * stride, ": wrong checksum; ",
                                                kRepairAdvice));
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
