// How each encoding's tile is read by a kernel: the only place where encodings differ; for kernels
// only.
//
// A decoder looks at one *chunk*, 256 values of K (a row's last one may be shorter), of one tile
// (kernels/encodings/tile.h). What it supplies:
//
//   kSums                   how exact sums become terms of the chain (docs/arithmetic.md)
//     kBlocks               fma(isum, Scale(block), .) for each block of 32, and with kMinima then
//                           fma(asum, Min(block), .)
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
#include "kernels/encodings/codebooks.h"

namespace sluice::cuda {

inline constexpr int kChunkValues = 256;
inline constexpr int kChunkBlocks = kChunkValues / 32;
inline constexpr int kSegmentChunks = 4;  // 1,024 values: a chain
inline constexpr int kLineBytes = 64;

enum class Sums { kBlocks, kSuperBlock, kScaledBlocks };

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

// Four numbers of six bits, a byte each.
__device__ __forceinline__ uint32_t Join(uint32_t low, uint32_t high) {
  return (low & 0x0F0F0F0Fu) | (high & 0x03030303u) << 4;
}

// Planes of a group of blocks of 32.
struct BlockChunk {
  const uint8_t* heads;
  const uint8_t* fifth;  // the quants' fifth bits, where they have one
  const uint8_t* quants;
  int blocks;  // 1 .. 8
};

// What encodings in blocks of 32 have in common: a head of kHeadBytes for each row and block, a
// line of fifth bits a block where kFifthBit is 1, kQuantLines lines of quants a block.
template <int kHeadBytes, int kFifthBit, int kQuantLines>
struct Blocks {
  static constexpr Sums kSums = Sums::kBlocks;
  static constexpr int kWide = 32;
  static constexpr int kOffset = 0;
  static constexpr bool kMinima = false;
  using Chunk = BlockChunk;
  __device__ static Chunk At(const uint8_t* tile, int64_t k, int64_t chunk) {
    constexpr int kBlockBytes = 16 * kHeadBytes + (kFifthBit + kQuantLines) * kLineBytes;
    const int64_t left = k / 32 - chunk * kChunkBlocks;
    const int blocks = left < kChunkBlocks ? static_cast<int>(left) : kChunkBlocks;
    const uint8_t* const heads = tile + chunk * (kChunkBlocks * kBlockBytes);
    const uint8_t* const fifth =
        heads + (blocks * 16 * kHeadBytes + kLineBytes - 1) / kLineBytes * kLineBytes;
    return {heads, fifth, fifth + kFifthBit * blocks * kLineBytes, blocks};
  }
  // Of heads that are one f16.
  __device__ static float Scale(const Chunk& chunk, int block, int row) {
    return Half(chunk.heads, block, row);
  }
};

struct Q8_0 : Blocks<2, 0, 8> {
  __device__ static void Quads(const Chunk& chunk, int block, int line, int row, uint32_t& low,
                               uint32_t& high) {
    // Stored with 128 added: flipping the top bit gives the signed byte.
    low = Word(chunk.quants, 8 * block + line, row) ^ 0x80808080u;
    high = Word(chunk.quants, 8 * block + 4 + line, row) ^ 0x80808080u;
  }
};

__device__ __forceinline__ void Nibbles(const uint8_t* quants, int block, int line, int row,
                                        uint32_t& low, uint32_t& high) {
  const uint32_t word = Word(quants, 4 * block + line, row);
  low = word & 0x0F0F0F0Fu;
  high = (word >> 4) & 0x0F0F0F0Fu;
}

// Puts bit number kBit of eight quants, of quads `line` and `line` + 4, in its place: `bits` has it
// as the fifth bits of q5_k lie.
template <int kBit>
__device__ __forceinline__ void AddBit(uint32_t bits, int line, uint32_t& low, uint32_t& high) {
  low |= ((bits >> line) & 0x01010101u) << kBit;
  high |= ((bits >> (line + 4)) & 0x01010101u) << kBit;
}

// Nibbles, with fifth bits where kFifthBit is 1, of blocks of 32.
template <int kFifthBit>
__device__ __forceinline__ void BlockQuads(const BlockChunk& chunk, int block, int line, int row,
                                           uint32_t& low, uint32_t& high) {
  Nibbles(chunk.quants, block, line, row, low, high);
  if (kFifthBit) AddBit<4>(Word(chunk.fifth, block, row), line, low, high);
}

// q4_0 (kFifthBit = 0) and q5_0.
template <int kFifthBit>
struct Q45_0 : Blocks<2, kFifthBit, 4> {
  static constexpr int kOffset = 8 << kFifthBit;
  __device__ static void Quads(const BlockChunk& chunk, int block, int line, int row, uint32_t& low,
                               uint32_t& high) {
    BlockQuads<kFifthBit>(chunk, block, line, row, low, high);
  }
};

struct Q4_0 : Q45_0<0> {};
struct Q5_0 : Q45_0<1> {};

// q4_1 (kFifthBit = 0) and q5_1: a minimum a block, too.
template <int kFifthBit>
struct Q45_1 : Blocks<4, kFifthBit, 4> {
  static constexpr bool kMinima = true;
  __device__ static void Quads(const BlockChunk& chunk, int block, int line, int row, uint32_t& low,
                               uint32_t& high) {
    BlockQuads<kFifthBit>(chunk, block, line, row, low, high);
  }
  __device__ static float Scale(const BlockChunk& chunk, int block, int row) {
    return Half(chunk.heads, 2 * block, row);
  }
  __device__ static float Min(const BlockChunk& chunk, int block, int row) {
    return Half(chunk.heads, 2 * block + 1, row);
  }
};

struct Q4_1 : Q45_1<0> {};
struct Q5_1 : Q45_1<1> {};

// Values 4i .. 4i + 3 of a codebook, the bytes of a word. A kernel has the four words as constants.
constexpr uint32_t BookWord(const int8_t (&values)[16], int i) {
  uint32_t word = 0;
  for (int j = 0; j < 4; ++j) {
    word |= static_cast<uint32_t>(static_cast<uint8_t>(values[4 * i + j])) << 8 * j;
  }
  return word;
}
struct Iq4Book {
  static constexpr uint32_t k0 = BookWord(kIq4Values, 0), k4 = BookWord(kIq4Values, 1),
                            k8 = BookWord(kIq4Values, 2), k12 = BookWord(kIq4Values, 3);
};
struct Mxfp4Book {
  static constexpr uint32_t k0 = BookWord(kMxfp4Values, 0), k4 = BookWord(kMxfp4Values, 1),
                            k8 = BookWord(kMxfp4Values, 2), k12 = BookWord(kMxfp4Values, 3);
};

// What the low and the high nibbles of a line's word stand for. Four nibbles at a time pick from
// the lower half of the book by three of their bits, and from the upper half; their top bits pick
// between the two. No memory, and lanes stay together whatever their nibbles are.
template <class Book>
__device__ __forceinline__ void BookQuads(const uint8_t* quants, int block, int line, int row,
                                          uint32_t& low, uint32_t& high) {
  const uint32_t word = Word(quants, 4 * block + line, row);
  const uint32_t index = word & 0x77777777u;
  const uint32_t upper = 0x32103210u | (word & 0x88888888u) >> 1;
  const uint32_t first =
      PickBytes(PickBytes(Book::k0, Book::k4, index), PickBytes(Book::k8, Book::k12, index), upper);
  const uint32_t second = PickBytes(PickBytes(Book::k0, Book::k4, index >> 16),
                                    PickBytes(Book::k8, Book::k12, index >> 16), upper >> 16);
  low = PickBytes(first, second, 0x6420);
  high = PickBytes(first, second, 0x7531);
}

struct IQ4_NL : Blocks<2, 0, 4> {
  __device__ static void Quads(const Chunk& chunk, int block, int line, int row, uint32_t& low,
                               uint32_t& high) {
    BookQuads<Iq4Book>(chunk.quants, block, line, row, low, high);
  }
};

struct MXFP4 : Blocks<1, 0, 4> {
  __device__ static void Quads(const Chunk& chunk, int block, int line, int row, uint32_t& low,
                               uint32_t& high) {
    BookQuads<Mxfp4Book>(chunk.quants, block, line, row, low, high);
  }
  // 2^(e - 128): the first two are subnormal, the last is NaN.
  __device__ static float Scale(const Chunk& chunk, int block, int row) {
    const uint32_t four = LoadWeights(chunk.heads + 16 * block + row / 4 * 4);
    const uint32_t e = (four >> 8 * (row % 4)) & 0xFF;
    const uint32_t bits = e < 2 ? 0x00200000u << e : (e - 1) << 23;
    return FloatOf(e == 255 ? 0x7FC00000u : bits);
  }
};

// What super-blocks of kLines lines have in common, each a group of its own, whose first line
// begins with d, and with dmin where there are minima.
template <int kLines>
struct SuperBlock {
  static constexpr Sums kSums = Sums::kSuperBlock;
  static constexpr int kOffset = 0;
  struct Chunk {
    const uint8_t* head;
    static constexpr int blocks = kChunkBlocks;
  };
  __device__ static Chunk At(const uint8_t* tile, int64_t, int64_t chunk) {
    return {tile + chunk * (kLines * kLineBytes)};
  }
  __device__ static float D(const Chunk& chunk, int row) { return Half(chunk.head, 0, row); }
  __device__ static float DMin(const Chunk& chunk, int row) { return Half(chunk.head, 1, row); }
};

// q4_k (kFifthBit = 0) and q5_k: a factor and a minimum per 32 values.
template <int kFifthBit>
struct Q45_K : SuperBlock<36 + 8 * kFifthBit> {
  using typename SuperBlock<36 + 8 * kFifthBit>::Chunk;
  static constexpr int kWide = 32;
  static constexpr bool kMinima = true;
  static constexpr int kQuantLines = 4 + 8 * kFifthBit;
  // Byte i of word h: sub-block 4h + i.
  struct Factors {
    uint32_t scales[2];
    uint32_t minima[2];
  };
  __device__ static void Quads(const Chunk& chunk, int block, int line, int row, uint32_t& low,
                               uint32_t& high) {
    Nibbles(chunk.head + kQuantLines * kLineBytes, block, line, row, low, high);
    if (kFifthBit) AddBit<4>(Word(chunk.head, 4 + block, row), line, low, high);
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
};

struct Q4_K : Q45_K<0> {};
struct Q5_K : Q45_K<1> {};

// Planes of a group of two super-blocks, or of one at the end of a row whose number of them is odd.
// Lines of a super-block in each plane; ahead of them is half a line of d.
template <int kScaleLines, int kHighLines, int kLowLines>
struct TwoSuperBlocks {
  struct Chunk {
    const uint8_t* d;
    const uint8_t* scales;
    const uint8_t* high;
    const uint8_t* low;
    static constexpr int blocks = kChunkBlocks;
  };
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
  __device__ static float D(const Chunk& chunk, int row) { return Half(chunk.d, 0, row); }
};

struct Q6_K : TwoSuperBlocks<4, 16, 32> {
  static constexpr Sums kSums = Sums::kScaledBlocks;
  static constexpr int kWide = 16;
  static constexpr int kOffset = 32;
  static constexpr bool kMinima = false;
  struct Factors {
    uint32_t scales[4];  // byte i of word w: sub-block 4w + i, signed
  };
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
};

// Quads `line` of both halves of a block of 32 whose quants have two bits: a line 16 values.
__device__ __forceinline__ void PairsOfBits(const uint8_t* quants, int block, int line, int row,
                                            uint32_t& low, uint32_t& high) {
  low = (Word(quants, 2 * block, row) >> 2 * line) & 0x03030303u;
  high = (Word(quants, 2 * block + 1, row) >> 2 * line) & 0x03030303u;
}

struct Q3_K : TwoSuperBlocks<3, 8, 16> {
  static constexpr Sums kSums = Sums::kSuperBlock;
  static constexpr int kWide = 16;
  static constexpr int kOffset = 4;
  static constexpr bool kMinima = false;
  struct Factors {
    uint32_t scales[4];  // byte i of word w: sub-block 4w + i, plus 32
  };
  __device__ static void Quads(const Chunk& chunk, int block, int line, int row, uint32_t& low,
                               uint32_t& high) {
    PairsOfBits(chunk.low, block, line, row, low, high);
    AddBit<2>(Word(chunk.high, block, row), line, low, high);
  }
  __device__ static Factors LoadFactors(const Chunk& chunk, int row) {
    const uint32_t even = Word(chunk.scales, 0, row);
    const uint32_t odd = Word(chunk.scales, 1, row);
    const uint32_t bits = Word(chunk.scales, 2, row);
    return {{Join(even, bits), Join(odd, bits >> 2), Join(even >> 4, bits >> 4),
             Join(odd >> 4, bits >> 6)}};
  }
  __device__ static int32_t Factor(const Factors& factors, int s) {
    return static_cast<int32_t>(ByteOf(factors.scales, s)) - 32;
  }
};

struct Q2_K : SuperBlock<21> {
  static constexpr int kWide = 16;
  static constexpr bool kMinima = true;
  struct Factors {
    uint32_t words[4];  // byte i of word w: sub-block 4w + i, its factor below its minimum
  };
  __device__ static void Quads(const Chunk& chunk, int block, int line, int row, uint32_t& low,
                               uint32_t& high) {
    PairsOfBits(chunk.head + 5 * kLineBytes, block, line, row, low, high);
  }
  __device__ static Factors LoadFactors(const Chunk& chunk, int row) {
    return {{Word(chunk.head, 1, row), Word(chunk.head, 2, row), Word(chunk.head, 3, row),
             Word(chunk.head, 4, row)}};
  }
  __device__ static int32_t Factor(const Factors& factors, int s) {
    return static_cast<int32_t>(ByteOf(factors.words, s) & 15);
  }
  __device__ static int32_t Minimum(const Factors& factors, int s) {
    return static_cast<int32_t>(ByteOf(factors.words, s) >> 4);
  }
};

struct IQ4_XS : SuperBlock<34> {
  static constexpr int kWide = 32;
  static constexpr bool kMinima = false;
  struct Factors {
    uint32_t low;   // bits 4s .. 4s + 3: of sub-block s
    uint32_t high;  // bits 2s and 2s + 1
  };
  __device__ static void Quads(const Chunk& chunk, int block, int line, int row, uint32_t& low,
                               uint32_t& high) {
    BookQuads<Iq4Book>(chunk.head + 2 * kLineBytes, block, line, row, low, high);
  }
  __device__ static Factors LoadFactors(const Chunk& chunk, int row) {
    return {Word(chunk.head, 1, row), LoadWeights16(chunk.head + kLineBytes / 2 + 2 * row)};
  }
  __device__ static int32_t Factor(const Factors& factors, int s) {
    const uint32_t low = (factors.low >> 4 * s) & 15;
    return static_cast<int32_t>(low | ((factors.high >> 2 * s) & 3) << 4) - 32;
  }
};

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_DECODERS_H_
