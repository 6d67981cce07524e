// Sizes and alignments of a store's files that follow from shapes and encodings alone.
#ifndef SLUICE_STORAGE_STORE_STORE_GEOMETRY_H_
#define SLUICE_STORAGE_STORE_STORE_GEOMETRY_H_

#include <cstddef>
#include <cstdint>

#include "kernels/base/align.h"
#include "kernels/encodings/encoding.h"
#include "kernels/encodings/tile.h"
#include "storage/store/manifest.h"

namespace sluice {

// Files of a store that no list in the manifest names.
inline constexpr char kManifestFile[] = "manifest.json";
inline constexpr char kUnfinishedFile[] = "unfinished.json";
inline constexpr char kRecordFile[] = "record.json";
inline constexpr char kResidentFile[] = "resident.bin";
inline constexpr char kEmbeddingFile[] = "embedding.rows";
inline constexpr char kLayersFolder[] = "layers";
inline constexpr char kTokenizerFolder[] = "tokenizer";

// Manifest::recipe where every tensor keeps its own dtype.
inline constexpr char kCheckpointRecipe[] = "checkpoint";

inline constexpr int64_t kResidentAlignment = 64;

// The 8 checksum bytes behind an embedding row, little-endian.
inline constexpr int64_t kRowChecksumBytes = 8;
inline void StoreChecksum(uint64_t checksum, std::byte* out) {
  for (int i = 0; i < kRowChecksumBytes; ++i) out[i] = static_cast<std::byte>(checksum >> (8 * i));
}
inline uint64_t LoadChecksum(const std::byte* in) {
  uint64_t checksum = 0;
  for (int i = 0; i < kRowChecksumBytes; ++i) checksum |= static_cast<uint64_t>(in[i]) << (8 * i);
  return checksum;
}

// A row, its 8 checksum bytes, and zeros up to a multiple of 8.
inline int64_t EmbeddingStride(Encoding encoding, int64_t hidden_size) {
  return RoundUp(RowBytes(encoding, hidden_size) + kRowChecksumBytes, 8);
}

inline int64_t NumTiles(int64_t rows) { return (rows + kTileRows - 1) / kTileRows; }

}  // namespace sluice

#endif  // SLUICE_STORAGE_STORE_STORE_GEOMETRY_H_
