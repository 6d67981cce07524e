// What the manifest's structs answer about themselves.
#include "storage/store/manifest.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/encodings/tile.h"

namespace sluice {

absl::string_view StoreCompressionName(StoreCompression compression) {
  return compression == StoreCompression::kZstd ? "zstd" : "none";
}

absl::StatusOr<StoreCompression> ParseStoreCompression(absl::string_view name) {
  for (const StoreCompression compression : {StoreCompression::kNone, StoreCompression::kZstd}) {
    if (name == StoreCompressionName(compression)) return compression;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown compression \"", name.substr(0, 80), "\"; known are none and zstd"));
}

int FormatVersion(StoreCompression compression) {
  return compression == StoreCompression::kNone ? 1 : 2;
}

const ManifestTensor* Manifest::Find(TensorRole role, int layer) const {
  for (const ManifestTensor& tensor : tensors) {
    if (tensor.role == role && tensor.layer == layer) return &tensor;
  }
  return nullptr;
}

int64_t Manifest::slab_bytes_total() const {
  int64_t total = 0;
  for (const ManifestSlab& slab : slabs) total += slab.bytes;
  return total;
}

int64_t Manifest::raw_slab_bytes_total() const {
  int64_t total = 0;
  for (const ManifestSlab& slab : slabs) total += slab.raw_bytes;
  return total;
}

int64_t Manifest::max_slab_bytes() const {
  int64_t most = 0;
  for (const ManifestSlab& slab : slabs) most = std::max(most, slab.raw_bytes);
  return most;
}

int64_t SlabBytes(const Manifest& manifest, const ManifestSlab& slab) {
  int64_t bytes = 0;
  for (const int index : slab.tensors) {
    const ManifestTensor& tensor = manifest.tensors[index];
    bytes += slab.num_tiles * TileBytes(tensor.encoding, tensor.shape[1]);
  }
  return bytes;
}

}  // namespace sluice
