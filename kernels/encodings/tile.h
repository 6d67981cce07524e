// Tiles: 16 rows of a matrix, permuted so that lane r of a vector register is row r.
//
// A matrix of `rows` x `k` in one encoding is ceil(rows / 16) tiles of TileBytes(encoding, k)
// bytes, one after the other. The last tile's missing rows are zero bytes. Everything is
// little-endian. A *line* is 64 bytes: 16 words of 32 bits, word r belonging to row r of the tile.
//
//   f32        one line a value k. k is padded to a multiple of 4 with zeros.
//   f16, bf16  one line a pair: word r = value 2i in the low half, 2i+1 in the high half. Same
//   padding.
//
// Quantized encodings come in groups of group_values K values (the last one shorter, a whole number
// of blocks), each a run of planes (kernels/encodings/planes.h), which are zero where they are
// padded. What a plane holds stands in each encoding's header of planes, as
// kernels/encodings/q6_k_planes.h.
//
// Packing only permutes bits: UnpackRows(PackTile(rows)) gives back every byte.
#ifndef SLUICE_KERNELS_ENCODINGS_TILE_H_
#define SLUICE_KERNELS_ENCODINGS_TILE_H_

#include <cstddef>
#include <cstdint>

#include "kernels/encodings/encoding.h"
#include "kernels/encodings/planes.h"  // kTileRows

namespace sluice {

// Bytes of one tile over `k` values (a multiple of block_values), a multiple of 64.
int64_t TileBytes(Encoding encoding, int64_t k);

// Packs `num_rows` (1..16) encoded rows, `row_stride` bytes apart from `rows` on, into `tile`
// (TileBytes bytes, all of them written).
void PackTile(Encoding encoding, const std::byte* rows, int64_t row_stride, int num_rows, int64_t k,
              std::byte* tile);

// The inverse: writes `num_rows` rows in the encoding's row order, `row_stride` bytes apart.
void UnpackTile(Encoding encoding, const std::byte* tile, int num_rows, int64_t k, std::byte* rows,
                int64_t row_stride);

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_TILE_H_
