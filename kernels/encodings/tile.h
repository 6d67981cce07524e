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
// of blocks), each a run of planes; every plane starts on 64 bytes and is zero-padded to 64. A
// *quad* is 4 consecutive values; quad t of a sub-block of 32 covers its values 4t .. 4t+3, byte i
// being value 4t+i.
//
//   q8_0  group 256, nb = its blocks of 32:
//         scales  nb x 16 f16 (block b, row r at (b * 16 + r) * 2)
//         quants  nb x 8 lines, one a quad: bytes are q + 128
//   q4_0  scales  as q8_0
//         quants  nb x 4 lines; line l of a block: low nibbles quad l, high nibbles quad l + 4
//                 (nibbles as in GGUF: the value is d * (nibble - 8))
//   q4_k  group 256, one super-block:
//         d, dmin     16 f16 d, then 16 f16 dmin                                        64 bytes
//         scales low  one line: byte i of a word: low nibble = low 4 bits of scale i,
//                     high nibble = low 4 bits of scale i + 4 (i = 0..3)                64
//         mins low    the same for the mins                                             64
//         high bits   one line: byte i of a word: bits 0-1 = bits 4-5 of scale i, bits 2-3 of scale
//                     i + 4, bits 4-5 of min i, bits 6-7 of min i + 4                   64
//         quants      8 sub-blocks x 4 lines, nibbles as in q4_0                        2048
//   q5_k  as q4_k, with a plane ahead of the quants:
//         fifth bits  8 sub-blocks x 1 line: bit 8 * i + t of the word is bit 4 of value 4t + i 512
//   q6_k  group 512, ns = its super-blocks (2, or 1 in the last group):
//         d           ns x 16 f16
//         scales      ns x 4 lines; byte i of line w: int8 scale of the 16 values 64w + 16i ..
//         high bits   ns x 8 sub-blocks of 32 x 2 lines; line w: bits 8 * i + 2 * (t % 4) and the
//         next
//                     one are bits 4-5 of value 4t + i, for the quads t = 4w .. 4w + 3
//         quants      ns x 8 sub-blocks x 4 lines, low 4 bits as in q4_0 (the value is
//                     d * scale * (quant - 32))
//         Each plane covers all of the group's super-blocks before the next plane starts.
//
//   q5_0  as q4_0, with a plane ahead of the quants:
//         fifth bits  nb x 1 line: bit 8 * i + t of the word is bit 4 of value 4t + i (the value is
//                     d * (quant - 16))
//   q4_1  scales  nb lines: 16 f16 d, then 16 f16 m
//         quants  as q4_0 (the value is d * quant + m)
//   q5_1  scales as q4_1, fifth bits as q5_0, quants as q4_0
//   iq4_nl  as q4_0; a nibble is an index (the value is d * kIq4Values[nibble])
//   mxfp4 exponents  nb x 16 bytes (block b, row r at b * 16 + r)
//         quants     as q4_0; a nibble is a float of 4 bits
//   iq4_xs  group 256, one super-block:
//         d, high     16 f16 d, then 16 x 16 bits: bits 2s and 2s + 1 are bits 4-5 of scale s 64
//         scales low  one line: bits 4s .. 4s + 3 of a word are the low bits of scale s          64
//         quants      8 sub-blocks x 4 lines, as q4_0; a nibble is an index                    2048
//   q2_k  group 256, one super-block:
//         d, dmin     16 f16 d, then 16 f16 dmin                                        64 bytes
//         scales      4 lines; byte i of line w: scale (low nibble) and min (high nibble) of the 16
//                     values 64w + 16i ..                                               256
//         quants      16 lines, a line 16 values: bits 8 * i + 2 * t and the next of line w are
//                     value 16w + 4t + i                                               1024
//   q3_k  group 512, ns = its super-blocks (2, or 1 in the last group):
//         d           ns x 16 f16
//         scales      ns x 3 lines; byte i of line w (0, 1): low nibble = low 4 bits of scale 4w +
//         i,
//                     high nibble = those of scale 4w + 8 + i; of line 2: bits 2j and 2j + 1 = bits
//                     4-5 of scale 4j + i. Scale s is that of values 16s .., plus 32
//         third bits  ns x 8 sub-blocks of 32 x 1 line: bit 8 * i + t of the word is bit 2 of value
//                     4t + i
//         quants      ns x 16 lines, low 2 bits, as q2_k (the value is d * scale * (quant - 4))
//         Each plane covers all of the group's super-blocks before the next plane starts.
//
// Packing only permutes bits: UnpackRows(PackTile(rows)) gives back every byte.
#ifndef SLUICE_KERNELS_ENCODINGS_TILE_H_
#define SLUICE_KERNELS_ENCODINGS_TILE_H_

#include <cstddef>
#include <cstdint>

#include "kernels/encodings/encoding.h"

namespace sluice {

inline constexpr int kTileRows = 16;

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
