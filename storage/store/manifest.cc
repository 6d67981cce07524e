// What the manifest's structs answer about themselves.
#include "storage/store/manifest.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/base/macros.h"
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

int FormatVersion(const Manifest& manifest) {
  const auto is_new = [](const Block& block) {
    return block.kind == BlockKind::kMerge || block.demand == Demand::kRouted ||
           std::any_of(block.products.begin(), block.products.end(),
                       [](const Product& product) { return product.expert >= 0; });
  };
  const std::vector<Block>& blocks = manifest.program.blocks;
  const int of_program = std::any_of(blocks.begin(), blocks.end(), is_new) ? 3 : 1;
  return std::max({manifest.format_version, FormatVersion(manifest.compression), of_program});
}

TensorIndex::TensorIndex(absl::Span<const ManifestTensor> tensors) {
  entries_.reserve(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    entries_.push_back({tensors[i].layer, tensors[i].role, static_cast<int>(i)});
  }
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return std::tuple(a.layer, a.role, a.tensor) < std::tuple(b.layer, b.role, b.tensor);
  });
}

int TensorIndex::Find(TensorRole role, int layer) const {
  const auto entry = std::lower_bound(entries_.begin(), entries_.end(), std::pair(layer, role),
                                      [](const Entry& a, const std::pair<int, TensorRole>& key) {
                                        return std::pair(a.layer, a.role) < key;
                                      });
  const bool found = entry != entries_.end() && entry->layer == layer && entry->role == role;
  return found ? entry->tensor : -1;
}

int64_t TensorIndex::MemoryBytes() const {
  return static_cast<int64_t>(entries_.capacity() * sizeof(Entry));
}

std::vector<int> MatricesOf(const Product& product, int layer, const TensorIndex& index) {
  std::vector<int> matrices = {index.Find(product.first.slot, layer)};
  if (product.second.has_value()) matrices.push_back(index.Find(product.second->slot, layer));
  return matrices;
}

void Manifest::Derive() {
  spec = SpecOf(hyper_parameters);
  program = ProgramOf(spec);
  index = TensorIndex(tensors);
}

const ManifestTensor* Manifest::Find(TensorRole role, int layer) const {
  const int tensor = index.Find(role, layer);
  return tensor < 0 ? nullptr : &tensors[tensor];
}

const Product& Manifest::ProductOf(const ManifestSlab& slab) const {
  const Product* const product = program.Find(slab.block, tensors[slab.tensors[0]].role);
  ABSL_ASSERT(product != nullptr);
  return *product;
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
