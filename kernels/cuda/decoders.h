// How the tiles of quantized weights are read by a kernel; for kernels only. All that differs
// between encodings is in their headers of planes (kernels/encodings/planes.h).
//
// A decoder looks at one *chunk*, 256 values of K (a row's last one may be shorter), of one tile.
// What it supplies beside what the planes do:
//
//   Offset(chunk, run, row) what is taken off each quant through the activations' sums: kOffset or,
//                           where rows have them, their zero points
//   At(tile, k, chunk)      where the chunk's planes are
//   Quads(chunk, run, line, row, low, high)
//                           quants 4 line .. and 16 + 4 line .. of a run of 32 values, a byte each
//   Scale, Min              of a run of 32 values, where these are terms
//   D, DMin, LoadFactors    of a super-block
//
// A word of four quants of one row is what dp4a takes, and also a register of the A fragment of
// mma.
#ifndef SLUICE_KERNELS_CUDA_DECODERS_H_
#define SLUICE_KERNELS_CUDA_DECODERS_H_

#include "kernels/cuda/ptx.h"
#include "kernels/encodings/all_planes.h"

namespace sluice::cuda {

inline constexpr int kChunkValues = 256;
inline constexpr int kChunkBlocks = kChunkValues / 32;  // of 32 values
inline constexpr int kSegmentChunks = 4;                // 1,024 values: a chain

// Where sum s of an ActivationGroup256 stands among its sums16 or sums32: kSumPlace of
// kernels/encodings/activation_layout.h, whose array device code cannot read.
__device__ __forceinline__ constexpr int SumPlace(int s) {
  return s / 4 * 4 + (s % 2 * 2 + s % 4 / 2);
}

// Row `row`'s word of line `line`, and its half `index` of a plane of f16.
__device__ __forceinline__ uint32_t Word(const uint8_t* plane, int line, int row) {
  return LoadWeights(plane + line * kLineBytes + 4 * row);
}
__device__ __forceinline__ float Half(const uint8_t* plane, int index, int row) {
  return F16ToF32(LoadWeights16(plane + index * kHalfLineBytes + 2 * row));
}

// Row `row`'s byte of a plane that has one a row.
__device__ __forceinline__ uint32_t ByteOfRow(const uint8_t* plane, int row) {
  return (LoadWeights(plane + row / 4 * 4) >> 8 * (row % 4)) & 0xFF;
}

// The low and the high nibbles of a word.
__device__ __forceinline__ void Nibbles(const uint8_t* quants, int block, int line, int row,
                                        uint32_t& low, uint32_t& high) {
  const uint32_t word = Word(quants, 4 * block + line, row);
  low = word & 0x0F0F0F0Fu;
  high = (word >> 4) & 0x0F0F0F0Fu;
}

// Quads `line` of both halves of a block of 32 whose quants have two bits: a line 16 values.
__device__ __forceinline__ void PairsOfBits(const uint8_t* quants, int block, int line, int row,
                                            uint32_t& low, uint32_t& high) {
  low = (Word(quants, 2 * block, row) >> 2 * line) & 0x03030303u;
  high = (Word(quants, 2 * block + 1, row) >> 2 * line) & 0x03030303u;
}

// Values 4i .. 4i + 3 of a codebook, the bytes of a word. A kernel has the four words as constants.
constexpr uint32_t BookWord(const int8_t (&values)[16], int i) {
  uint32_t word = 0;
  for (int j = 0; j < 4; ++j) {
    word |= static_cast<uint32_t>(static_cast<uint8_t>(values[4 * i + j])) << 8 * j;
  }
  return word;
}
template <class P>
struct Book {
  static constexpr uint32_t k0 = BookWord(P::kBook, 0), k4 = BookWord(P::kBook, 1),
                            k8 = BookWord(P::kBook, 2), k12 = BookWord(P::kBook, 3);
};

// What the low and the high nibbles of a line's word stand for. Four nibbles at a time pick from
// the lower half of the book by three of their bits, and from the upper half; their top bits pick
// between the two. No memory, and lanes stay together whatever their nibbles are.
template <class P>
__device__ __forceinline__ void BookQuads(const uint8_t* quants, int block, int line, int row,
                                          uint32_t& low, uint32_t& high) {
  const uint32_t word = Word(quants, 4 * block + line, row);
  const uint32_t index = word & 0x77777777u;
  const uint32_t upper = 0x32103210u | (word & 0x88888888u) >> 1;
  const uint32_t first = PickBytes(PickBytes(Book<P>::k0, Book<P>::k4, index),
                                   PickBytes(Book<P>::k8, Book<P>::k12, index), upper);
  const uint32_t second = PickBytes(PickBytes(Book<P>::k0, Book<P>::k4, index >> 16),
                                    PickBytes(Book<P>::k8, Book<P>::k12, index >> 16), upper >> 16);
  low = PickBytes(first, second, 0x6420);
  high = PickBytes(first, second, 0x7531);
}

// A chunk is blocks of 32, 64 or 128 values, 1 .. 8 times 32 in all, ...
template <class P, bool kSuperBlock = P::kBlockValues == 256, bool kGroup = P::kGroupBlocks == 1>
struct Chunk {
  BlockPlanes<const uint8_t> planes;
  int blocks;
  __device__ const BlockPlanes<const uint8_t>& Planes() const { return planes; }
};
// ... a super-block of a group of two, ...
template <class P>
struct Chunk<P, true, false> {
  BlockPlanes<const uint8_t> planes;
  static constexpr int blocks = kChunkBlocks;
  __device__ const BlockPlanes<const uint8_t>& Planes() const { return planes; }
};
// ... or a super-block that is a group: its planes are at distances that kernels know.
template <class P>
struct Chunk<P, true, true> {
  const uint8_t* group;
  static constexpr int blocks = kChunkBlocks;
  __device__ BlockPlanes<const uint8_t> Planes() const { return P::At(group, 1, 0); }
};

template <class P>
struct Decoder : P {
  using Chunk = cuda::Chunk<P>;
  // Flipping the top bit of 8 takes 128 off.
  static constexpr int kOffset = P::kQuantBits == 8 ? 0 : P::kOffset;

  __device__ static Chunk At(const uint8_t* tile, int64_t k, int64_t chunk) {
    if constexpr (P::kBlockValues < 256) {
      constexpr int kGroupChunks = P::kGroupValues / kChunkValues;
      const int64_t group = chunk / kGroupChunks;
      const int64_t left = k / P::kBlockValues - group * P::kGroupBlocks;
      const int in_group = left < P::kGroupBlocks ? static_cast<int>(left) : P::kGroupBlocks;
      const int b = static_cast<int>(chunk % kGroupChunks) * (kChunkBlocks / P::kBlockRuns);
      const int runs = P::kBlockRuns * (in_group - b);
      return {P::At(tile + group * P::GroupBytes(P::kGroupBlocks), in_group, b),
              runs < kChunkBlocks ? runs : kChunkBlocks};
    } else if constexpr (P::kGroupBlocks == 1) {
      return {tile + chunk * P::GroupBytes(1)};
    } else {
      const int64_t group = chunk / 2;
      const int in_group = k / kChunkValues - 2 * group > 1 ? 2 : 1;
      const int b = static_cast<int>(chunk & 1);
      return {P::At(tile + group * P::GroupBytes(2), in_group, b)};
    }
  }

  __device__ static void Quads(const Chunk& chunk, int block, int line, int row, uint32_t& low,
                               uint32_t& high) {
    const uint8_t* const quants = chunk.Planes().quants;
    if constexpr (P::kHasBook) {
      BookQuads<P>(quants, block, line, row, low, high);
    } else if constexpr (P::kQuantBits == 8) {
      low = Word(quants, 8 * block + line, row) ^ 0x80808080u;
      high = Word(quants, 8 * block + 4 + line, row) ^ 0x80808080u;
    } else if constexpr (P::kQuantBits == 4) {
      Nibbles(quants, block, line, row, low, high);
    } else {
      PairsOfBits(quants, block, line, row, low, high);
    }
    if constexpr (P::kExtraBits == 1) {
      const uint32_t bits = Word(chunk.Planes().extra, block, row);
      low |= ((bits >> line) & 0x01010101u) << P::kQuantBits;
      high |= ((bits >> (line + 4)) & 0x01010101u) << P::kQuantBits;
    } else if constexpr (P::kExtraBits == 2) {
      const uint8_t* const extra = chunk.Planes().extra;
      const uint32_t first = Word(extra, 2 * block, row), second = Word(extra, 2 * block + 1, row);
      low |= ((first >> 2 * line) & 0x03030303u) << P::kQuantBits;
      high |= ((second >> 2 * line) & 0x03030303u) << P::kQuantBits;
    }
  }

  // The heads of a run's block.
  __device__ static const uint8_t* Heads(const Chunk& chunk, int run) {
    return chunk.Planes().head + run / P::kBlockRuns * P::kHeadBytes * kTileRows;
  }
  __device__ static float Scale(const Chunk& chunk, int run, int row) {
    const uint8_t* const heads = Heads(chunk, run);
    if constexpr (P::kHeadBytes == 1) {
      // 2^(e - 128): the first two are subnormal, the last is NaN.
      const uint32_t e = ByteOfRow(heads, row);
      const uint32_t bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
      return FloatOf(e == 255 ? 0x7FC00000u : bits);
    } else if constexpr (P::kZeroPoints) {
      const uint32_t bits = LoadWeights16(heads + 2 * row);
      return ScaleIsBF16(ByteOfRow(heads + kHalfLineBytes, row)) ? FloatOf(bits << 16)
                                                                 : F16ToF32(bits);
    } else {
      return Half(heads, 0, row);
    }
  }
  __device__ static float Min(const Chunk& chunk, int run, int row) {
    return Half(Heads(chunk, run), 1, row);
  }
  __device__ static int32_t Offset(const Chunk& chunk, int run, int row) {
    if constexpr (P::kZeroPoints) {
      return ZeroPoint(ByteOfRow(Heads(chunk, run) + kHalfLineBytes, row));
    } else {
      return kOffset;
    }
  }

  __device__ static float D(const Chunk& chunk, int row) {
    return Half(chunk.Planes().head, 0, row);
  }
  __device__ static float DMin(const Chunk& chunk, int row) {
    return Half(chunk.Planes().head, 1, row);
  }
  __device__ static auto LoadFactors(const Chunk& chunk, int row) {
    uint32_t scales[P::kScaleLines];
#pragma unroll
    for (int line = 0; line < P::kScaleLines; ++line) {
      scales[line] = Word(chunk.Planes().scales, line, row);
    }
    uint32_t second = 0;
    if constexpr (P::kHeadBytes == 4 && !P::kMinima) {
      second = LoadWeights16(chunk.Planes().head + kHalfLineBytes + 2 * row);
    }
    return P::FactorsOf(scales, second);
  }
};

#define SLUICE_FLOAT_ENCODING(...)
#define SLUICE_QUANTIZED_ENCODING(name, ...) \
  struct name : Decoder<name##Planes> {};
#include "kernels/encodings/encodings.def"

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_DECODERS_H_
