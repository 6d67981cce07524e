// The manifest of a layer store: what is in it and where. docs/store-format.md is the
// specification.
#ifndef SLUICE_STORAGE_STORE_MANIFEST_H_
#define SLUICE_STORAGE_STORE_MANIFEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/encodings/encoding.h"
#include "storage/file/checksum.h"
#include "storage/model/architecture.h"
#include "storage/model/hyper_parameters.h"
#include "storage/model/program.h"
#include "storage/model/spec.h"
#include "storage/store/slab_codec.h"

namespace sluice {

// The newest format that is read: 2 is 1 with compressed slabs, 3 has the Program in it. Each store
// is written in the oldest format that can hold it (FormatVersion below).
inline constexpr int kStoreFormatVersion = 3;
inline constexpr int64_t kSlabAlignment = 4096;
inline constexpr int64_t kDefaultSlabBytes = int64_t{8} << 20;

struct ManifestTensor {
  std::string name;  // in the checkpoint
  TensorRole role;
  int layer;  // -1: not of a layer
  std::vector<int64_t> shape;
  Encoding encoding;      // f32 for resident ones
  bool fallback = false;  // its shape did not allow the encoding that was asked for
  int64_t offset = 0;     // kResident: in resident.bin
  uint64_t checksum = 0;  // kResident: over its f32 values
};

// A run of whole tiles of one matrix, or of two whose tiles alternate (gate and up).
struct ManifestSlab {
  int block;                 // index into Program::blocks
  int file;                  // index into Manifest::files
  int64_t offset;            // in the file, a multiple of kSlabAlignment
  int64_t bytes;             // stored bytes, without padding: what is read
  uint64_t checksum;         // over `bytes`
  std::vector<int> tensors;  // one or two indices into Manifest::tensors
  int64_t first_tile;        // of each tensor
  int64_t num_tiles;         // of each tensor
  SlabCompression compression = SlabCompression::kNone;
  // Bytes of its tiles, what a device consumes; `bytes` where not compressed
  int64_t raw_bytes = 0;
};

// What was asked for when the store was made. Each slab says itself whether it is compressed.
enum class StoreCompression : uint8_t {
  kNone,
  kZstd,  // slabs for which CompressionFor (storage/store/slab_codec.h) names something, where it
          // pays
};
absl::string_view StoreCompressionName(StoreCompression compression);  // "none", "zstd"
absl::StatusOr<StoreCompression> ParseStoreCompression(absl::string_view name);

// A file of slabs: roots let a store lie on several disks. Relative roots are relative to the
// store.
struct ManifestFile {
  int root;
  std::string path;  // below the root, no "..", not absolute
  int64_t bytes;
};

// A file copied from the checkpoint's folder into tokenizer/. People may edit these (a chat
// template), so only VerifyStore compares them.
struct ManifestCopy {
  std::string name;  // no slash
  int64_t bytes;
  uint64_t checksum;
  bool operator==(const ManifestCopy&) const = default;
};

// Says where a list of tensors has each role of each layer, in time that does not grow with the
// list: a model of experts has tens of thousands. Of two tensors of the same role and layer it
// knows the first.
class TensorIndex {
 public:
  TensorIndex() = default;
  explicit TensorIndex(absl::Span<const ManifestTensor> tensors);
  int Find(TensorRole role, int layer) const;  // an index into `tensors`; -1: there is none
  int64_t MemoryBytes() const;                 // beyond the object itself

 private:
  struct Entry {
    int layer;
    TensorRole role;
    int tensor;
  };
  std::vector<Entry> entries_;  // sorted by layer, then role
};

// Indices of the matrices of a product: one, or two that take turns.
std::vector<int> MatricesOf(const Product& product, int layer, const TensorIndex& index);

struct Manifest {
  int format_version = 1;  // that it was read from; it is written in no older one
  HyperParameters hyper_parameters;
  ModelSpec spec;      // Derive() makes it of `hyper_parameters`
  Program program;     // Derive() makes it of `spec`; a text of format 3 must say the same
  TensorIndex index;   // Derive() makes it of `tensors`
  std::string source;  // what it was made from, for people: folder name and dtype
  uint64_t source_fingerprint = 0;  // Checkpoint::fingerprint
  std::string recipe;  // "q4_k_m", an encoding's name, or "checkpoint": each its own dtype
  int64_t slab_bytes = kDefaultSlabBytes;  // the target it was cut with, raw
  StoreCompression compression = StoreCompression::kNone;
  std::vector<std::string> roots = {"."};
  std::vector<ManifestFile> files;
  std::vector<ManifestTensor> tensors;  // in the order of ListTensors
  std::vector<ManifestSlab> slabs;      // in the order in which a pass walks them
  // embedding.rows: row i at i * embedding_stride, RowBytes(encoding, hidden_size) bytes followed
  // by their checksum (8 bytes, little-endian) and zeros up to the stride.
  int64_t embedding_stride = 0;
  int64_t resident_bytes = 0;                 // of resident.bin
  std::vector<ManifestCopy> tokenizer_files;  // by name

  // Sets what follows from hyper_parameters and tensors. Called by the one who fills them.
  void Derive();
  const ManifestTensor* Find(TensorRole role, int layer) const;  // null: the model has none
  // The product that a slab is a part of, and its block. For slabs that CheckManifest accepts.
  const Product& ProductOf(const ManifestSlab& slab) const;
  const Block& BlockOf(const ManifestSlab& slab) const { return program.blocks[slab.block]; }
  int64_t slab_bytes_total() const;  // stored
  int64_t raw_slab_bytes_total() const;
  int64_t max_slab_bytes() const;  // raw
};

// The oldest format of a store with this compression: 1, or 2 where there is one.
int FormatVersion(StoreCompression compression);
// The format that a manifest is written in: 3 where its Program has routed blocks, experts or a
// block that merges hidden rows.
int FormatVersion(const Manifest& manifest);

// Bytes of the slab's tiles from its tensors' encodings and shapes; what `raw_bytes` must be.
int64_t SlabBytes(const Manifest& manifest, const ManifestSlab& slab);

// The same manifest gives the same text, byte for byte.
std::string SerializeManifest(const Manifest& manifest);

// Parses and checks everything that others rely on: tensors are exactly those of the architecture
// with their shapes, slabs cover each matrix once and in order, sizes agree, compressed slabs are
// shorter than raw and of an encoding that their compression can hold, offsets are aligned, do not
// overlap and lie inside their files, paths stay below their root. FailedPrecondition: a newer
// format version, or a Program that is not what this sluice computes. DataLoss: the text's own
// checksum is wrong. InvalidArgument: everything else, naming the entry.
absl::StatusOr<Manifest> ParseManifest(absl::string_view text, absl::string_view path);

}  // namespace sluice

#endif  // SLUICE_STORAGE_STORE_MANIFEST_H_
