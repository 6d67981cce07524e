// How each encoding's tile is read by a kernel: the only place where encodings differ; for kernels
// only.
//
// A decoder looks at one *chunk*, 256 values of K (a row's last one may be shorter), of one tile
// (kernels/tile.h). What it supplies:
//
//   kSums                   how exact sums become terms of the chain (docs/arithmetic.md)
//     kBlocks               fma(isum, Scale(block), .) for each block of 32
//     kSuperBlock           fma(sum of Factor * isum, D, .) for the chunk, and with kMinima then
//                           fma(-(sum of Minimum * asum), DMin, .)
//     kScaledBlocks         fma(sum of a block's Factor * isum, its scale, .) for each block of 32,
//                           from 0, and fma(that, D, .) for the chunk
//   kWide                   values of a sub-block: 32, or 16
//   kOffset                 what is taken off each stored quant through the activations' sums
//   At(tile, k, chunk)      where the chunk's planes are
//   Quads(chunk, block, line, row, low, high)
//                           quants 4 line .. and 16 + 4 line .. of a block of 32, a byte each
//
// A word of four quants of one row is what dp4a takes, and also a register of the A fragment of
// mma.
#ifndef SLUICE_KERNELS_CUDA_DECODERS_H_
#define SLUICE_KERNELS_CUDA_DECODERS_H_

#include "kernels/cuda/ptx.h"

namespace sluice::cuda {

inline constexpr int kChunkValues = 256;
inline constexpr int kChunkBlocks = kChunkValues / 32;
inline constexpr int kSegmentChunks = 4;  // 1,024 values: a chain
inline constexpr int kLineBytes = 64;

enum class Sums { kBlocks, kSuperBlock, kScaledBlocks };

// Where sum s of an ActivationGroup256 stands among its sums16 or sums32: kSumPlace of
// kernels/cpu/activation_layout.h, whose array device code cannot read.
__device__ __forceinline__ constexpr int SumPlace(int s) {
  return s / 4 * 4 + (s % 2 * 2 + s % 4 / 2);
}

// Row `row`'s word of line `line`, and its half `index` of a plane of f16.
__device__ __forceinline__ uint32_t Word(const uint8_t* plane, int line, int row) {
  return LoadWeights(plane + line * kLineBytes + 4 * row);
}
__device__ __forceinline__ float Half(const uint8_t* plane, int index, int row) {
  return F16ToF32(LoadWeights16(plane + index * (kLineBytes / 2) + 2 * row));
}

// Byte s of words. Selected, not indexed: an array indexed at run time would live in local memory.
__device__ __forceinline__ uint32_t ByteOf(const uint32_t (&words)[2], int s) {
  return ((s & 4 ? words[1] : words[0]) >> 8 * (s % 4)) & 0xFF;
}
__device__ __forceinline__ uint32_t ByteOf(const uint32_t (&words)[4], int s) {
  const uint32_t even = s & 8 ? words[2] : words[0];
  const uint32_t odd = s & 8 ? words[3] : words[1];
  return ((s & 4 ? odd : even) >> 8 * (s % 4)) & 0xFF;
}

// Planes of a group of blocks of 32, a scale each.
struct BlockChunk {
  const uint8_t* scales;
  const uint8_t* quants;
  int blocks;  // 1 .. 8
};
__device__ __forceinline__ BlockChunk BlockChunkAt(const uint8_t* tile, int64_t k, int64_t chunk,
                                                   int lines_per_block) {
  const int64_t left = k / 32 - chunk * kChunkBlocks;
  const int blocks = left < kChunkBlocks ? static_cast<int>(left) : kChunkBlocks;
  const uint8_t* const scales = tile + chunk * (kChunkBlocks * (kLineBytes / 2) +
                                                kChunkBlocks * lines_per_block * kLineBytes);
  return {scales, scales + (blocks + 1) / 2 * kLineBytes, blocks};
}

struct Q8_0 {
  static constexpr Sums kSums = Sums::kBlocks;
  static constexpr int kWide = 32;
  static constexpr int kOffset = 0;
  using Chunk = BlockChunk;
  __device__ static Chunk At(const uint8_t* tile, int64_t k, int64_t chunk) {
    return BlockChunkAt(tile, k, chunk, 8);
  }
  __device__ static void Quads(const Chunk& chunk, int block, int line, int row, uint32_t& low,
                               uint32_t& high) {
    // Stored with 128 added: flipping the top bit gives the signed byte.
    low = Word(chunk.quants, 8 * block + line, row) ^ 0x80808080u;
    high = Word(chunk.quants, 8 * block + 4 + line, row) ^ 0x80808080u;
  }
  __device__ static float Scale(const Chunk& chunk, int block, int row) {
    return Half(chunk.scales, block, row);
  }
};

__device__ __forceinline__ void Nibbles(const uint8_t* quants, int block, int line, int row,
                                        uint32_t& low, uint32_t& high) {
  const uint32_t word = Word(quants, 4 * block + line, row);
  low = word & 0x0F0F0F0Fu;
  high = (word >> 4) & 0x0F0F0F0Fu;
}

struct Q4_0 {
  static constexpr Sums kSums = Sums::kBlocks;
  static constexpr int kWide = 32;
  static constexpr int kOffset = 8;
  using Chunk = BlockChunk;
  __device__ static Chunk At(const uint8_t* tile, int64_t k, int64_t chunk) {
    return BlockChunkAt(tile, k, chunk, 4);
  }
  __device__ static void Quads(const Chunk& chunk, int block, int line, int row, uint32_t& low,
                               uint32_t& high) {
    Nibbles(chunk.quants, block, line, row, low, high);
  }
  __device__ static float Scale(const Chunk& chunk, int block, int row) {
    return Half(chunk.scales, block, row);
  }
};

// q4_k (kFifthBit = 0) and q5_k: a factor and a minimum per 32 values.
template <int kFifthBit>
struct Q45_K {
  static constexpr Sums kSums = Sums::kSuperBlock;
  static constexpr int kWide = 32;
  static constexpr int kOffset = 0;
  static constexpr bool kMinima = true;
  static constexpr int kQuantLines = 4 + 8 * kFifthBit;
  static constexpr int kLines = kQuantLines + 32;
  struct Chunk {
    const uint8_t* head;
    static constexpr int blocks = kChunkBlocks;
  };
  // Byte i of word h: sub-block 4h + i.
  struct Factors {
    uint32_t scales[2];
    uint32_t minima[2];
  };
  __device__ static Chunk At(const uint8_t* tile, int64_t, int64_t chunk) {
    return {tile + chunk * (kLines * kLineBytes)};
  }
  __device__ static void Quads(const Chunk& chunk, int block, int line, int row, uint32_t& low,
                               uint32_t& high) {
    Nibbles(chunk.head + kQuantLines * kLineBytes, block, line, row, low, high);
    if (kFifthBit) {
      const uint32_t bits = Word(chunk.head, 4 + block, row);
      low |= ((bits >> line) & 0x01010101u) << 4;
      high |= ((bits >> (line + 4)) & 0x01010101u) << 4;
    }
  }
  __device__ static Factors LoadFactors(const Chunk& chunk, int row) {
    const uint32_t scales = Word(chunk.head, 1, row);
    const uint32_t minima = Word(chunk.head, 2, row);
    const uint32_t bits = Word(chunk.head, 3, row);
    return {{Join(scales, bits), Join(scales >> 4, bits >> 2)},
            {Join(minima, bits >> 4), Join(minima >> 4, bits >> 6)}};
  }
  __device__ static int32_t Factor(const Factors& factors, int s) {
    return static_cast<int32_t>(ByteOf(factors.scales, s));
  }
  __device__ static int32_t Minimum(const Factors& factors, int s) {
    return static_cast<int32_t>(ByteOf(factors.minima, s));
  }
  __device__ static float D(const Chunk& chunk, int row) { return Half(chunk.head, 0, row); }
  __device__ static float DMin(const Chunk& chunk, int row) { return Half(chunk.head, 1, row); }

 private:
  __device__ static uint32_t Join(uint32_t low, uint32_t high) {
    return (low & 0x0F0F0F0Fu) | (high & 0x03030303u) << 4;
  }
};
using Q4_K = Q45_K<0>;
using Q5_K = Q45_K<1>;

struct Q6_K {
  static constexpr Sums kSums = Sums::kScaledBlocks;
  static constexpr int kWide = 16;
  static constexpr int kOffset = 32;
  static constexpr bool kMinima = false;
  // Lines of a super-block in each plane; the first has half a line of d.
  static constexpr int kScaleLines = 4, kHighLines = 16, kLowLines = 32;
  struct Chunk {
    const uint8_t* d;
    const uint8_t* scales;
    const uint8_t* high;
    const uint8_t* low;
    static constexpr int blocks = kChunkBlocks;
  };
  struct Factors {
    uint32_t scales[4];  // byte i of word w: sub-block 4w + i, signed
  };
  // Planes cover two super-blocks, or one at the end of a row whose number of them is odd.
  __device__ static Chunk At(const uint8_t* tile, int64_t k, int64_t chunk) {
    const int64_t group = chunk / 2;
    const int in_group = k / kChunkValues - 2 * group > 1 ? 2 : 1;
    const int b = static_cast<int>(chunk % 2);
    const uint8_t* const base =
        tile + group * ((1 + 2 * (kScaleLines + kHighLines + kLowLines)) * kLineBytes);
    const uint8_t* const scales = base + kLineBytes;
    const uint8_t* const high = scales + in_group * kScaleLines * kLineBytes;
    const uint8_t* const low = high + in_group * kHighLines * kLineBytes;
    return {base + b * (kLineBytes / 2), scales + b * kScaleLines * kLineBytes,
            high + b * kHighLines * kLineBytes, low + b * kLowLines * kLineBytes};
  }
  __device__ static void Quads(const Chunk& chunk, int block, int line, int row, uint32_t& low,
                               uint32_t& high) {
    Nibbles(chunk.low, block, line, row, low, high);
    low |= ((Word(chunk.high, 2 * block, row) >> 2 * line) & 0x03030303u) << 4;
    high |= ((Word(chunk.high, 2 * block + 1, row) >> 2 * line) & 0x03030303u) << 4;
  }
  __device__ static Factors LoadFactors(const Chunk& chunk, int row) {
    return {{Word(chunk.scales, 0, row), Word(chunk.scales, 1, row), Word(chunk.scales, 2, row),
             Word(chunk.scales, 3, row)}};
  }
  __device__ static int32_t Factor(const Factors& factors, int s) {
    return static_cast<int8_t>(ByteOf(factors.scales, s));
  }
  __device__ static float D(const Chunk& chunk, int row) { return Half(chunk.d, 0, row); }
};

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_DECODERS_H_
