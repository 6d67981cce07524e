// Checks that a manifest's parts agree with the architecture and with each other.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kernels/base/status_macros.h"
#include "storage/store/manifest.h"
#include "storage/store/manifest_text.h"
#include "storage/store/store_geometry.h"

namespace sluice {
namespace {

// Far above any model, low enough that no size below overflows 64 bits.
constexpr int64_t kMaxDimension = INT32_MAX;
constexpr int64_t kMaxWeights = int64_t{1} << 48;

template <typename... Parts>
absl::Status InvalidManifest(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::Status CheckTensor(const ManifestTensor& tensor, const TensorSpec& spec) {
  if (tensor.name != spec.name || tensor.role != spec.role || tensor.layer != spec.layer) {
    return InvalidManifest("expected ", spec.name, " (", RoleName(spec.role), " of layer ",
                           spec.layer, "), found ", tensor.name, " (", RoleName(tensor.role),
                           " of layer ", tensor.layer, ")");
  }
  if (tensor.shape != spec.shape) {
    return InvalidManifest("shape [", absl::StrJoin(tensor.shape, ", "), "] instead of [",
                           absl::StrJoin(spec.shape, ", "), "]");
  }
  int64_t weights = 1;
  for (const int64_t n : tensor.shape) {
    if (n < 1 || n > kMaxDimension || weights > kMaxWeights / n) {
      return InvalidManifest("shape [", absl::StrJoin(tensor.shape, ", "), "] is out of bounds");
    }
    weights *= n;
  }
  const TensorPlace place = PlaceOf(tensor.role);
  if (tensor.shape.size() != (place == TensorPlace::kResident ? 1 : 2)) {
    return InvalidManifest("shape of ", tensor.shape.size(), " dimensions");
  }
  if (place == TensorPlace::kResident && tensor.encoding != Encoding::kF32) {
    return InvalidManifest("resident tensors are f32, not ", Info(tensor.encoding).name);
  }
  if (tensor.shape.back() % Info(tensor.encoding).block_values != 0) {
    return InvalidManifest("rows of ", tensor.shape.back(), " values cannot be ",
                           Info(tensor.encoding).name);
  }
  return absl::OkStatus();
}

absl::Status CheckTensors(const Manifest& manifest) {
  const std::vector<TensorSpec> specs = ListTensors(manifest.hyper_parameters);
  if (manifest.tensors.size() != specs.size()) {
    return InvalidManifest(manifest.tensors.size(), " tensors instead of the architecture's ",
                           specs.size());
  }
  int64_t resident_end = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    const ManifestTensor& tensor = manifest.tensors[i];
    if (absl::Status status = CheckTensor(tensor, specs[i]); !status.ok()) {
      return InvalidManifest("tensor ", i, ": ", status.message());
    }
    if (tensor.role == TensorRole::kEmbedding &&
        manifest.embedding_stride != EmbeddingStride(tensor.encoding, tensor.shape[1])) {
      return InvalidManifest("\"embedding_stride\" is ", manifest.embedding_stride, " instead of ",
                             EmbeddingStride(tensor.encoding, tensor.shape[1]));
    }
    if (PlaceOf(tensor.role) != TensorPlace::kResident) continue;
    const int64_t bytes = tensor.shape[0] * static_cast<int64_t>(sizeof(float));
    if (tensor.offset < resident_end || tensor.offset % kResidentAlignment != 0 ||
        tensor.offset > manifest.resident_bytes ||
        bytes > manifest.resident_bytes - tensor.offset) {
      return InvalidManifest("tensor ", i, ": bytes ", tensor.offset, " to ", tensor.offset, " + ",
                             bytes,
                             " overlap the tensor before, are not 64-aligned, or end after the ",
                             manifest.resident_bytes, " bytes of ", kResidentFile);
    }
    resident_end = tensor.offset + bytes;
  }
  return absl::OkStatus();
}

bool IsPathBelowRoot(absl::string_view path) {
  if (path.find('\0') != absl::string_view::npos) return false;
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

absl::Status CheckFiles(const Manifest& manifest) {
  absl::flat_hash_set<std::pair<int, absl::string_view>> seen;
  for (const std::string& root : manifest.roots) {
    if (root.empty() || root.find('\0') != std::string::npos)
      return InvalidManifest("a root without a name");
  }
  for (size_t i = 0; i < manifest.files.size(); ++i) {
    const ManifestFile& file = manifest.files[i];
    if (file.root < 0 || file.root >= manifest.roots.size()) {
      return InvalidManifest("file ", i, ": no root ", file.root);
    }
    if (!IsPathBelowRoot(file.path)) {
      return InvalidManifest("file ", i, ": \"", file.path, "\" is not a path below its root");
    }
    if (!seen.insert({file.root, file.path}).second) {
      return InvalidManifest("file ", i, ": ", file.path, " is listed twice");
    }
    if (file.bytes < 0 || file.bytes % kSlabAlignment != 0) {
      return InvalidManifest("file ", i, ": ", file.bytes, " bytes are not a multiple of ",
                             kSlabAlignment);
    }
  }
  for (size_t i = 0; i < manifest.tokenizer_files.size(); ++i) {
    const ManifestCopy& copy = manifest.tokenizer_files[i];
    if (!IsPathBelowRoot(copy.name) || copy.name.find('/') != std::string::npos || copy.bytes < 0 ||
        (i > 0 && copy.name <= manifest.tokenizer_files[i - 1].name)) {
      return InvalidManifest("tokenizer file ", i, ": \"", copy.name, "\" of ", copy.bytes,
                             " bytes: no file name, out of order, or no size");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckCompression(const Manifest& manifest, const ManifestSlab& slab) {
  if (slab.compression == SlabCompression::kNone) {
    if (slab.bytes == slab.raw_bytes) return absl::OkStatus();
    return InvalidManifest(slab.bytes, " bytes instead of ", slab.raw_bytes);
  }
  if (manifest.compression == StoreCompression::kNone) {
    return InvalidManifest("compressed, in a store without compression");
  }
  const Encoding encoding = manifest.tensors[slab.tensors[0]].encoding;
  if (slab.compression == SlabCompression::kZstdPlanes && encoding != Encoding::kBF16 &&
      encoding != Encoding::kF16) {
    return InvalidManifest("tiles of ", Info(encoding).name, " have no planes of 16-bit words");
  }
  if (slab.bytes < 1 || slab.bytes >= slab.raw_bytes || slab.raw_bytes > kMaxCompressedSlabBytes) {
    return InvalidManifest(slab.raw_bytes, " bytes cannot be compressed to ", slab.bytes);
  }
  return absl::OkStatus();
}

// One slab against its tensors and its file; what came before it is the walk's matter.
absl::Status CheckSlab(const Manifest& manifest, const ManifestSlab& slab) {
  if (slab.tensors.empty() || slab.tensors.size() > 2)
    return InvalidManifest("holds no tensor or too many");
  for (const int index : slab.tensors) {
    if (index < 0 || index >= manifest.tensors.size()) return InvalidManifest("no tensor ", index);
    const ManifestTensor& tensor = manifest.tensors[index];
    if (PlaceOf(tensor.role) != TensorPlace::kSlabs)
      return InvalidManifest(tensor.name, " is not a matrix");
    const int64_t tiles = NumTiles(tensor.shape[0]);
    if (slab.first_tile < 0 || slab.num_tiles < 1 || slab.first_tile > tiles ||
        slab.num_tiles > tiles - slab.first_tile) {
      return InvalidManifest("tiles ", slab.first_tile, " + ", slab.num_tiles, " of ", tensor.name,
                             ", which has ", tiles);
    }
  }
  if (const int64_t bytes = SlabBytes(manifest, slab); slab.raw_bytes != bytes) {
    return InvalidManifest(slab.raw_bytes, " bytes instead of ", bytes);
  }
  SLUICE_RETURN_IF_ERROR(CheckCompression(manifest, slab));
  if (slab.file < 0 || slab.file >= manifest.files.size())
    return InvalidManifest("no file ", slab.file);
  const ManifestFile& file = manifest.files[slab.file];
  if (slab.offset < 0 || slab.offset % kSlabAlignment != 0 || slab.offset > file.bytes ||
      RoundUp(slab.bytes, kSlabAlignment) > file.bytes - slab.offset) {
    return InvalidManifest("offset ", slab.offset, " + ", slab.bytes,
                           " bytes: not aligned, or after the ", file.bytes, " bytes of ",
                           file.path);
  }
  return absl::OkStatus();
}

// A stretch of the walk: one matrix, or two that take turns.
struct Stretch {
  int block;
  std::vector<int> tensors;
};

std::vector<Stretch> ListStretches(const Manifest& manifest) {
  std::vector<Stretch> stretches;
  const std::vector<Block>& blocks = manifest.program.blocks;
  for (size_t i = 0; i < blocks.size(); ++i) {
    for (const Product& product : blocks[i].products) {
      stretches.push_back(
          {static_cast<int>(i), MatricesOf(product, blocks[i].layer, manifest.index)});
    }
  }
  return stretches;
}

std::string SameOf(TensorRole role) {
  return absl::StrCat(" (and the same of ", RoleName(role), ")");
}

// The slabs of one stretch, `*next` being the first. Moves `*next` behind them.
absl::Status CheckStretch(const Manifest& manifest, const Stretch& stretch, size_t* next) {
  const ManifestTensor& first = manifest.tensors[stretch.tensors[0]];
  const bool two = stretch.tensors.size() == 2;
  const bool shared = two && first.encoding == manifest.tensors[stretch.tensors[1]].encoding;
  const int64_t tiles = NumTiles(first.shape[0]);
  for (int64_t tile = 0; tile < tiles;) {
    // Slabs that cover the same tiles: one, or one of each matrix.
    const int slabs = two && !shared ? 2 : 1;
    int64_t covered = 0;
    for (int i = 0; i < slabs; ++i, ++*next) {
      const std::vector<int> tensors =
          slabs == 1 ? stretch.tensors : std::vector<int>{stretch.tensors[i]};
      if (*next >= manifest.slabs.size()) {
        return InvalidManifest("the slabs end before tile ", tile, " of ",
                               manifest.tensors[tensors[0]].name);
      }
      const ManifestSlab& slab = manifest.slabs[*next];
      if (slab.block != stretch.block || slab.tensors != tensors || slab.first_tile != tile ||
          (i > 0 && slab.num_tiles != covered)) {
        return InvalidManifest(
            "slab ", *next, ": expected tile ", tile, " of ", manifest.tensors[tensors[0]].name,
            two ? SameOf(manifest.tensors[stretch.tensors[1]].role) : "", " in block ",
            stretch.block, ", found tile ", slab.first_tile, " of ",
            manifest.tensors[slab.tensors[0]].name, " in block ", slab.block);
      }
      covered = slab.num_tiles;
    }
    tile += covered;
  }
  return absl::OkStatus();
}

absl::Status CheckNoOverlap(const Manifest& manifest) {
  std::vector<const ManifestSlab*> sorted;
  for (const ManifestSlab& slab : manifest.slabs) sorted.push_back(&slab);
  std::sort(sorted.begin(), sorted.end(), [](const ManifestSlab* a, const ManifestSlab* b) {
    return std::pair(a->file, a->offset) < std::pair(b->file, b->offset);
  });
  for (size_t i = 1; i < sorted.size(); ++i) {
    const ManifestSlab& before = *sorted[i - 1];
    if (before.file == sorted[i]->file && before.offset + before.bytes > sorted[i]->offset) {
      return InvalidManifest("slabs overlap at byte ", sorted[i]->offset, " of ",
                             manifest.files[before.file].path);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckManifest(const Manifest& manifest) {
  if (manifest.slab_bytes < 1) return InvalidManifest("\"slab_bytes\" is ", manifest.slab_bytes);
  if (manifest.resident_bytes < 0 || manifest.resident_bytes % kResidentAlignment != 0) {
    return InvalidManifest("\"resident_bytes\" is ", manifest.resident_bytes, ", no multiple of ",
                           kResidentAlignment);
  }
  SLUICE_RETURN_IF_ERROR(CheckTensors(manifest));
  SLUICE_RETURN_IF_ERROR(CheckFiles(manifest));
  for (size_t i = 0; i < manifest.slabs.size(); ++i) {
    if (absl::Status status = CheckSlab(manifest, manifest.slabs[i]); !status.ok()) {
      return InvalidManifest("slab ", i, ": ", status.message());
    }
  }
  size_t next = 0;
  for (const Stretch& stretch : ListStretches(manifest)) {
    SLUICE_RETURN_IF_ERROR(CheckStretch(manifest, stretch, &next));
  }
  if (next != manifest.slabs.size()) {
    return InvalidManifest(manifest.slabs.size() - next, " slabs after the last matrix");
  }
  return CheckNoOverlap(manifest);
}

}  // namespace sluice
