// Where the parts of quantized weights lie in a tile: one geometry for codecs and for matrix
// products in scalar, SIMD and CUDA code.
//
// A group of up to group_blocks blocks of 16 rows is a run of four planes. Each begins on 64 bytes
// and covers all of the group's blocks; a plane that an encoding lacks has no bytes.
//
//   heads   head_bytes a row and block: 1: a byte each; 2, 4: 16 f16 and, where there are two, 16
//           more; 3: 16 floats of 16 bits, then 16 bytes that say what these are (ScaleIsBF16) and
//           the rows' zero points (ZeroPoint)
//   scales  scale_lines lines a block, packed as the encoding likes
//   extra   upper bits of the quants, one or two a value
//   quants  their lower bits: eight, four or two a value
//
// A *line* is 64 bytes, a word of 32 bits a row. A *quad* is 4 consecutive values, its value i in
// byte i of a word. Where quad t (0..7) of 32 values is:
//
//   8 bits a value  in line t
//   4 bits          in line t % 4: the low nibbles for t < 4, else the high ones
//   2 bits          in line t / 4, bits 2 (t % 4) and the next of each byte
//   1 bit           in the only line, bit t of each byte
//
// Everything here is a constant or is inlined wherever it is used: files for one instruction set
// and nvcc include it, so it knows no header of the standard library but stdint.h.
#ifndef SLUICE_KERNELS_ENCODINGS_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_PLANES_H_

#include <stdint.h>

#if defined(__CUDACC__)
#define SLUICE_PLANES __host__ __device__ __forceinline__
#else
#define SLUICE_PLANES inline __attribute__((always_inline))
#endif

namespace sluice {

inline constexpr int kTileRows = 16;
inline constexpr int kLineBytes = 4 * kTileRows;
inline constexpr int kHalfLineBytes = 2 * kTileRows;

// How exact sums become terms of the chain (docs/arithmetic.md).
enum class Sums {
  kBlocks,        // fma(sum, scale, .) for each run of 32 values of a block, and with minima then
                  // fma(asum, min, .)
  kSuperBlock,    // fma(sum of factor * isum, d, .) for 256 values, and with minima then
                  // fma(-(sum of minimum * asum), dmin, .)
  kScaledBlocks,  // fma(sum of factor * isum, the block's scale, .) for each block of 32, from 0,
                  // and fma(that, d, .) for 256 values
};

struct PlaneSizes {
  int block_values;  // 32, 64, 128 or 256; as long as 256 only where Sums are not kBlocks
  int group_blocks;
  int head_bytes;
  int scale_lines;
  int extra_lines;
  int quant_lines;
};

// One block's parts of the planes.
template <class Byte>
struct BlockPlanes {
  Byte* head;
  Byte* scales;
  Byte* extra;
  Byte* quants;
};

// The base of an encoding's planes struct, which adds
//
//   kSums            how sums become terms
//   kSubBlockValues  values that have a factor of their own: 32 or 16
//   kMinima          whether a second half of the head goes with the sums of the activations
//   kHasBook, kBook  whether a quant stands for kBook[quant] ...
//   kOffset          ... or for quant - kOffset, unless rows have zero points, which come off then
//
// and where there are scale lines
//
//   Factors          what a row's scales are unpacked to
//   FactorsOf(scales, second)
//                    unpacks the row's words of the scale lines, and the second half of its head
//   Factor(factors, s), Minimum(factors, s)
//                    those of sub-block s, as integers
template <PlaneSizes kSizes>
struct Planes {
  static constexpr int kBlockValues = kSizes.block_values;
  static constexpr int kGroupBlocks = kSizes.group_blocks;
  static constexpr int kGroupValues = kBlockValues * kGroupBlocks;
  static constexpr int kBlockRuns = kBlockValues / 32;
  static constexpr int kHeadBytes = kSizes.head_bytes;
  static constexpr int kScaleLines = kSizes.scale_lines;
  static constexpr int kExtraLines = kSizes.extra_lines;
  static constexpr int kQuantLines = kSizes.quant_lines;
  static constexpr bool kZeroPoints = kHeadBytes == 3;
  static constexpr int kExtraBits = kExtraLines * 32 / kBlockValues;  // a value
  static constexpr int kQuantBits = kQuantLines * 32 / kBlockValues;
  // Of a row's block outside of tiles: tiles only permute bits.
  static constexpr int kBlockBytes = kHeadBytes + 4 * (kScaleLines + kExtraLines + kQuantLines);

  // Where the planes of a group of `blocks` blocks begin; kGroupBlocks or, at the end of a row,
  // fewer. Heads are at 0.
  SLUICE_PLANES static constexpr int Scales(int blocks) {
    constexpr int kBytes = kHeadBytes * kTileRows;  // of a block
    if (kGroupBlocks * kBytes <= kLineBytes) return kLineBytes;
    return (blocks * kBytes + kLineBytes - 1) / kLineBytes * kLineBytes;
  }
  SLUICE_PLANES static constexpr int Extra(int blocks) {
    return Scales(blocks) + blocks * kScaleLines * kLineBytes;
  }
  SLUICE_PLANES static constexpr int Quants(int blocks) {
    return Extra(blocks) + blocks * kExtraLines * kLineBytes;
  }
  SLUICE_PLANES static constexpr int GroupBytes(int blocks) {
    return Quants(blocks) + blocks * kQuantLines * kLineBytes;
  }

  // Block b's parts of such a group.
  template <class Byte>
  SLUICE_PLANES static BlockPlanes<Byte> At(Byte* group, int blocks, int b) {
    Byte* const scales = group + Scales(blocks);
    Byte* const extra = scales + blocks * kScaleLines * kLineBytes;
    Byte* const quants = extra + blocks * kExtraLines * kLineBytes;
    return {group + b * kHeadBytes * kTileRows, scales + b * kScaleLines * kLineBytes,
            extra + b * kExtraLines * kLineBytes, quants + b * kQuantLines * kLineBytes};
  }
};

// The third byte of a head with a zero point, z: the block's scale is a bf16 or an f16, and its
// values are scale * (quant - zero point).
SLUICE_PLANES bool ScaleIsBF16(uint32_t z) { return (z & 128) != 0; }
SLUICE_PLANES int32_t ZeroPoint(uint32_t z) { return static_cast<int32_t>(z & 127); }

// Byte s of words. It is selected, not indexed: on a GPU an array that is indexed at run time would
// live in local memory.
SLUICE_PLANES uint32_t ByteOf(const uint32_t (&words)[2], int s) {
  return ((s & 4 ? words[1] : words[0]) >> 8 * (s % 4)) & 0xFF;
}
SLUICE_PLANES uint32_t ByteOf(const uint32_t (&words)[4], int s) {
  const uint32_t even = s & 8 ? words[2] : words[0];
  const uint32_t odd = s & 8 ? words[3] : words[1];
  return ((s & 4 ? odd : even) >> 8 * (s % 4)) & 0xFF;
}

// Four numbers of six bits, a byte each, from their low nibbles and their upper pairs of bits.
SLUICE_PLANES uint32_t JoinSixBits(uint32_t low, uint32_t high) {
  return (low & 0x0F0F0F0Fu) | (high & 0x03030303u) << 4;
}

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_PLANES_H_
