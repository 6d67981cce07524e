// Matrix products on 16-row tiles: one loop, and a decoder an encoding.
//
// A thread walks its tiles in order of memory, and each tile by segments of 1,024 values of K. It
// takes up to kMaxTokens activation rows at once, so that a line is unpacked once for all of them;
// lane r is row r throughout, hence nothing crosses lanes. One token is bound by memory: a line
// costs a load, its unpacking and one or two dot products. The order of summing is that of
// matmul_scalar.cc, to the bit.
#ifndef SLUICE_KERNELS_CPU_MATMUL_SIMD_H_
#define SLUICE_KERNELS_CPU_MATMUL_SIMD_H_

#include "kernels/cpu/activation_layout.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/math_simd.h"
#include "kernels/cpu/simd.h"

namespace sluice::SLUICE_SIMD_NAMESPACE {

inline constexpr int kLine = 64;
inline constexpr int kSegment = 1024;
inline constexpr int64_t kActivationGroupBytes = sizeof(ActivationGroup256);
SLUICE_INLINE int64_t PadTo64(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Bytes ahead of the line in use that are asked for into the L2 cache, or 0. Measured on Zen 4: a
// single token's stream is best left to the hardware's prefetchers (q4_k: 30 GB/s, with ours 24-28,
// and with ours into L1 23), unless it jumps between planes (q5_k, q6_k: 25 GB/s, without ours 10)
// or the rows of several tokens are read between its lines (q4_k, 4 tokens: 24 GB/s, without ours
// 12).
SLUICE_INLINE constexpr int Ahead(int num_tokens, bool many_planes) {
  return num_tokens > 1 || many_planes ? 16384 : 0;
}

// A line of weights, and half a line: 16 f16.
template <int kAhead>
SLUICE_INLINE I32 LoadLine(const uint8_t* p) {
  if constexpr (kAhead > 0) PrefetchL2(p + kAhead);
  return LoadI(p);
}
template <int kAhead>
SLUICE_INLINE F32 LoadScales(const uint8_t* p) {
  if constexpr (kAhead > 0) PrefetchL2(p + kAhead);
  return LoadHalves(p);
}

SLUICE_INLINE I32 LowNibbles(I32 x) { return And(x, SetI(0x0F0F0F0F)); }
SLUICE_INLINE I32 HighNibbles(I32 x) { return And(Shr<4>(x), SetI(0x0F0F0F0F)); }
SLUICE_INLINE F32 BroadcastF(const float* p) { return SetF(*p); }

// Each decoder has kGroup, Bytes(n) of a group of n values, and Add(), which continues the chains
// of R tokens by one group: `a` is the group's place in the first token's activations, `stride`
// bytes before the next token's.

struct Q8_0 {
  static constexpr int kGroup = 256;
  static constexpr int kTokens = kMaxTokens;
  static constexpr bool kManyPlanes = false;
  SLUICE_INLINE static int64_t Bytes(int n) { return PadTo64(n / 32 * 32) + n / 32 * 8 * kLine; }

  template <int R>
  SLUICE_INLINE static void Add(const uint8_t* group, int n, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    const uint8_t* quants = group + PadTo64(n / 32 * 32);
    for (int block = 0; block < n / 32; ++block) {
      I32 sum[R];
      for (int r = 0; r < R; ++r) {
        const auto* at = reinterpret_cast<const ActivationGroup32*>(a + r * stride);
        sum[r] = StartBytes(at->minus_sums + block);
      }
#pragma GCC unroll 8
      for (int quad = 0; quad < 8; ++quad) {
        const ByteWeights w =
            PrepareBytes(LoadLine<Ahead(R, kManyPlanes)>(quants + (8 * block + quad) * kLine));
        for (int r = 0; r < R; ++r) {
          sum[r] = DotBytes(sum[r], w, BroadcastI(a + r * stride + 32 * block + 4 * quad));
        }
      }
      const F32 d = LoadScales<Ahead(R, kManyPlanes)>(group + 32 * block);
      for (int r = 0; r < R; ++r) {
        const auto* at = reinterpret_cast<const ActivationGroup32*>(a + r * stride);
        acc[r] = Fma(ToFloat(sum[r]), Mul(d, BroadcastF(at->scales + block)), acc[r]);
      }
    }
  }
};

struct Q4_0 {
  static constexpr int kGroup = 256;
  static constexpr int kTokens = kMaxTokens;
  static constexpr bool kManyPlanes = false;
  SLUICE_INLINE static int64_t Bytes(int n) { return PadTo64(n / 32 * 32) + n / 32 * 4 * kLine; }

  template <int R>
  SLUICE_INLINE static void Add(const uint8_t* group, int n, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    const uint8_t* quants = group + PadTo64(n / 32 * 32);
    for (int block = 0; block < n / 32; ++block) {
      Partial sum[R];
      for (int r = 0; r < R; ++r) sum[r] = ZeroPartial();
#pragma GCC unroll 4
      for (int l = 0; l < 4; ++l) {
        const I32 line = LoadLine<Ahead(R, kManyPlanes)>(quants + (4 * block + l) * kLine);
        const I32 low = LowNibbles(line);
        const I32 high = HighNibbles(line);
        for (int r = 0; r < R; ++r) {
          const uint8_t* x = a + r * stride + 32 * block + 4 * l;
          sum[r] = Dot(sum[r], low, BroadcastI(x));
          sum[r] = Dot(sum[r], high, BroadcastI(x + 16));
        }
      }
      const F32 d = LoadScales<Ahead(R, kManyPlanes)>(group + 32 * block);
      for (int r = 0; r < R; ++r) {
        const auto* at = reinterpret_cast<const ActivationGroup32*>(a + r * stride);
        const I32 isum = AddI(Widen(sum[r]), Shl<3>(BroadcastI(at->minus_sums + block)));
        acc[r] = Fma(ToFloat(isum), Mul(d, BroadcastF(at->scales + block)), acc[r]);
      }
    }
  }
};

// q4_k (kFifthBit = 0) and q5_k.
template <int kFifthBit>
struct Q45_K {
  static constexpr int kGroup = 256;
  static constexpr int kTokens = kMaxTokens;
  static constexpr bool kManyPlanes = kFifthBit;
  static constexpr int kQuants = (4 + 8 * kFifthBit) * kLine;
  SLUICE_INLINE static int64_t Bytes(int) { return kQuants + 32 * kLine; }

  // Low nibbles and bits of quad l in `low`, of quad l + 4 in `high`.
  template <int R, int kL>
  SLUICE_INLINE static void Unpack(const uint8_t* quants, I32 fifth, I32* low, I32* high) {
    const I32 line = LoadLine<Ahead(R, kManyPlanes)>(quants + kL * kLine);
    *low = LowNibbles(line);
    *high = HighNibbles(line);
    if constexpr (kFifthBit) {
      const I32 mask = SetI(0x10101010);
      *low = Or(*low, And(Shl<4 - kL>(fifth), mask));
      *high = Or(*high, And(Shr<kL>(fifth), mask));
    }
  }

  template <int R>
  SLUICE_INLINE static void Add(const uint8_t* group, int, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    // Six bits each: scales and minima 0..3 and 4..7, one a byte.
    const I32 low_scales = LoadLine<Ahead(R, kManyPlanes)>(group + kLine);
    const I32 low_minima = LoadLine<Ahead(R, kManyPlanes)>(group + 2 * kLine);
    const I32 high = LoadLine<Ahead(R, kManyPlanes)>(group + 3 * kLine);
    const I32 top = SetI(0x30303030);
    const I32 scales[2] = {Or(LowNibbles(low_scales), And(Shl<4>(high), top)),
                           Or(HighNibbles(low_scales), And(Shl<2>(high), top))};
    const I32 minima[2] = {Or(LowNibbles(low_minima), And(high, top)),
                           Or(HighNibbles(low_minima), And(Shr<2>(high), top))};
    I32 scaled[R];
    for (int r = 0; r < R; ++r) scaled[r] = ZeroI();
    for (int half = 0; half < 2; ++half) {
      I32 rest = scales[half];
      for (int s = 4 * half; s < 4 * half + 4; ++s) {
        const uint8_t* quants = group + kQuants + 4 * s * kLine;
        const I32 fifth =
            kFifthBit ? LoadLine<Ahead(R, kManyPlanes)>(group + (4 + s) * kLine) : ZeroI();
        const I32 scale = ScaleOfLowByte(rest);
        rest = Shr<8>(rest);
        // Where a partial sum has room for half of the sub-block only, low and high quads go apart.
        constexpr bool kApart = kFifthBit && kQuadsOf5Bits < 8;
        Partial sum[R], other[R];
        for (int r = 0; r < R; ++r) sum[r] = other[r] = ZeroPartial();
        const auto line = [&](int l, I32 low, I32 high) __attribute__((always_inline)) {
          for (int r = 0; r < R; ++r) {
            const uint8_t* x = a + r * stride + 32 * s + 4 * l;
            sum[r] = Dot(sum[r], low, BroadcastI(x));
            Partial& upper = kApart ? other[r] : sum[r];
            upper = Dot(upper, high, BroadcastI(x + 16));
          }
        };
        I32 low, high;
        Unpack<R, 0>(quants, fifth, &low, &high);
        line(0, low, high);
        Unpack<R, 1>(quants, fifth, &low, &high);
        line(1, low, high);
        Unpack<R, 2>(quants, fifth, &low, &high);
        line(2, low, high);
        Unpack<R, 3>(quants, fifth, &low, &high);
        line(3, low, high);
        for (int r = 0; r < R; ++r) {
          scaled[r] = AddScaled(scaled[r], sum[r], scale);
          if (kApart) scaled[r] = AddScaled(scaled[r], other[r], scale);
        }
      }
    }
    const F32 d = LoadScales<Ahead(R, kManyPlanes)>(group);
    const F32 dmin = LoadScales<Ahead(R, kManyPlanes)>(group + 32);
    for (int r = 0; r < R; ++r) {
      const auto* at = reinterpret_cast<const ActivationGroup256*>(a + r * stride);
      I32 sum = ZeroI();
      for (int half = 0; half < 2; ++half) {
        sum = MulAddPairs(sum, EvenBytesSigned(minima[half]), BroadcastI(at->sums32 + 4 * half));
        sum = MulAddPairs(sum, OddBytesSigned(minima[half]), BroadcastI(at->sums32 + 4 * half + 2));
      }
      const F32 scale = BroadcastF(&at->scale);
      acc[r] = Fma(ToFloat(scaled[r]), Mul(d, scale), acc[r]);
      acc[r] = NegFma(ToFloat(sum), Mul(dmin, scale), acc[r]);
    }
  }
};

struct Q6_K {
  static constexpr int kGroup = 512;
  static constexpr int kTokens = kMaxTokens;
  static constexpr bool kManyPlanes = true;
  SLUICE_INLINE static int64_t Bytes(int n) {
    return PadTo64(n / 256 * 32) + n / 256 * (4 + 16 + 32) * kLine;
  }

  template <int R, int kL>
  SLUICE_INLINE static void Unpack(const uint8_t* quants, I32 high0, I32 high1, I32* low,
                                   I32* high) {
    const I32 line = LoadLine<Ahead(R, kManyPlanes)>(quants + kL * kLine);
    const I32 mask = SetI(0x30303030);
    if constexpr (kL < 3) {
      *low = Or(LowNibbles(line), And(Shl<4 - 2 * kL>(high0), mask));
      *high = Or(HighNibbles(line), And(Shl<4 - 2 * kL>(high1), mask));
    } else {
      *low = Or(LowNibbles(line), And(Shr<2>(high0), mask));
      *high = Or(HighNibbles(line), And(Shr<2>(high1), mask));
    }
  }

  template <int R>
  SLUICE_INLINE static void Add(const uint8_t* group, int n, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    const int blocks = n / 256;
    const uint8_t* scales = group + PadTo64(blocks * 32);
    const uint8_t* high_bits = scales + blocks * 4 * kLine;
    const uint8_t* low_bits = high_bits + blocks * 16 * kLine;
    for (int b = 0; b < blocks; ++b) {
      I32 scaled[R];
      for (int r = 0; r < R; ++r) scaled[r] = ZeroI();
      for (int w = 0; w < 4; ++w) {  // 64 values: two sub-blocks of 32, four scales
        const I32 four = LoadLine<Ahead(R, kManyPlanes)>(scales + (4 * b + w) * kLine);
        const I32 scale_of[4] = {SignedScaleOfHighByte(Shl<24>(four)),
                                 SignedScaleOfHighByte(Shl<16>(four)),
                                 SignedScaleOfHighByte(Shl<8>(four)), SignedScaleOfHighByte(four)};
#pragma GCC unroll 2
        for (int s = 0; s < 2; ++s) {
          const int sub_block = 8 * b + 2 * w + s;
          const uint8_t* quants = low_bits + 4 * sub_block * kLine;
          const I32 high0 = LoadLine<Ahead(R, kManyPlanes)>(high_bits + 2 * sub_block * kLine);
          const I32 high1 =
              LoadLine<Ahead(R, kManyPlanes)>(high_bits + (2 * sub_block + 1) * kLine);
          const uint8_t* x = a + b * kActivationGroupBytes + 64 * w + 32 * s;
          Partial first[R], second[R];
          const auto start = [&]() __attribute__((always_inline)) {
            for (int r = 0; r < R; ++r) first[r] = second[r] = ZeroPartial();
          };
          const auto line = [&](int l, I32 low, I32 high) __attribute__((always_inline)) {
            for (int r = 0; r < R; ++r) {
              first[r] = Dot(first[r], low, BroadcastI(x + r * stride + 4 * l));
              second[r] = Dot(second[r], high, BroadcastI(x + r * stride + 4 * l + 16));
            }
          };
          const auto flush = [&]() __attribute__((always_inline)) {
            for (int r = 0; r < R; ++r) {
              scaled[r] = AddScaled(scaled[r], first[r], scale_of[2 * s]);
              scaled[r] = AddScaled(scaled[r], second[r], scale_of[2 * s + 1]);
            }
          };
          I32 low, high;
          start();
          Unpack<R, 0>(quants, high0, high1, &low, &high);
          line(0, low, high);
          Unpack<R, 1>(quants, high0, high1, &low, &high);
          line(1, low, high);
          if constexpr (kQuadsOf6Bits < 4) {
            flush();
            start();
          }
          Unpack<R, 2>(quants, high0, high1, &low, &high);
          line(2, low, high);
          Unpack<R, 3>(quants, high0, high1, &low, &high);
          line(3, low, high);
          flush();
        }
      }
      const F32 d = LoadScales<Ahead(R, kManyPlanes)>(group + 32 * b);
      for (int r = 0; r < R; ++r) {
        const auto* at =
            reinterpret_cast<const ActivationGroup256*>(a + b * kActivationGroupBytes + r * stride);
        I32 sum = ZeroI();  // of scale * asum: 32 times that is the offset's share
        for (int w = 0; w < 4; ++w) {
          const I32 four = LoadI(scales + (4 * b + w) * kLine);
          sum = MulAddPairs(sum, EvenBytesSigned(four), BroadcastI(at->sums16 + 4 * w));
          sum = MulAddPairs(sum, OddBytesSigned(four), BroadcastI(at->sums16 + 4 * w + 2));
        }
        const I32 total = SubI(scaled[r], Shl<5>(sum));
        acc[r] = Fma(ToFloat(total), Mul(d, BroadcastF(&at->scale)), acc[r]);
      }
    }
  }
};

// A tile's weights by segments of K: acc[r] = the chains' end for token r over `k` (at most
// kSegment) values from `segment` on. `a` is the segment's place in the first token's activations.
template <class Decoder>
struct QuantizedTile {
  static constexpr int kTokens = Decoder::kTokens;
  SLUICE_INLINE static int64_t SegmentBytes() {
    return kSegment / Decoder::kGroup * Decoder::Bytes(Decoder::kGroup);
  }
  static constexpr int64_t kActivationBytes = kSegment / 256 * kActivationGroupBytes;

  template <int R>
  SLUICE_INLINE static void Run(const uint8_t* segment, int k, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    for (int r = 0; r < R; ++r) acc[r] = ZeroF();
    for (int at = 0; at < k; at += Decoder::kGroup) {
      const int n = k - at < Decoder::kGroup ? k - at : Decoder::kGroup;
      Decoder::Add(segment, n, a + at / 256 * kActivationGroupBytes, stride, acc);
      segment += Decoder::Bytes(n);
    }
  }
};

// Each loader: four lines of f32, or two of pairs, as the weights of four values of K.
struct LoadF32 {
  static constexpr int kBytes = 4 * kLine;  // of four values
  template <int R>
  SLUICE_INLINE static void Load(const uint8_t* p, F32 (&w)[4]) {
    for (int i = 0; i < 4; ++i) w[i] = AsFloat(LoadLine<Ahead(R, false)>(p + i * kLine));
  }
};
struct LoadF16 {
  static constexpr int kBytes = 2 * kLine;
  template <int R>
  SLUICE_INLINE static void Load(const uint8_t* p, F32 (&w)[4]) {
    for (int i = 0; i < 2; ++i) {
      const I32 pair = LoadLine<Ahead(R, false)>(p + i * kLine);
      w[2 * i] = LowHalves(pair);
      w[2 * i + 1] = LowHalves(Shr<16>(pair));
    }
  }
};
struct LoadBF16 {
  static constexpr int kBytes = 2 * kLine;
  template <int R>
  SLUICE_INLINE static void Load(const uint8_t* p, F32 (&w)[4]) {
    for (int i = 0; i < 2; ++i) {
      const I32 pair = LoadLine<Ahead(R, false)>(p + i * kLine);
      w[2 * i] = AsFloat(Shl<16>(pair));
      w[2 * i + 1] = AsFloat(And(pair, SetI(static_cast<int32_t>(0xFFFF0000))));
    }
  }
};

template <class Loader>
struct FloatTile {
  static constexpr int kTokens = kMaxFloatTokens;
  SLUICE_INLINE static int64_t SegmentBytes() { return kSegment / 4 * Loader::kBytes; }
  static constexpr int64_t kActivationBytes = kSegment * sizeof(float);

  template <int R>
  SLUICE_INLINE static void Run(const uint8_t* segment, int k, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    F32 c[R][4];
    for (int r = 0; r < R; ++r) {
      for (int i = 0; i < 4; ++i) c[r][i] = ZeroF();
    }
    for (int at = 0; at < k; at += 4) {
      F32 w[4];
      Loader::template Load<R>(segment, w);
      segment += Loader::kBytes;
      for (int r = 0; r < R; ++r) {
        const auto* x = reinterpret_cast<const float*>(a + r * stride) + at;
        for (int i = 0; i < 4; ++i) c[r][i] = Fma(w[i], BroadcastF(x + i), c[r][i]);
      }
    }
    for (int r = 0; r < R; ++r) acc[r] = Add(Add(c[r][0], c[r][1]), Add(c[r][2], c[r][3]));
  }
};

// Epilogue values as in kernels/ops.h.
inline constexpr int kStore = 0;
inline constexpr int kAdd = 1;
inline constexpr int kSwiGlu = 2;
inline constexpr int kMultiply = 3;

// Tokens that meet a segment of a tile before the next segment is read: their share of activations
// (80 KiB in int8) and the segment stay in the caches nearest to the core however large K is.
inline constexpr int kPanelTokens = 64;

// Adds a segment to the totals [token][16] of R tokens.
template <class Tile, int R>
void AddSegment(const uint8_t* segment, int k, const uint8_t* a, int64_t stride, float* totals) {
  F32 acc[R];
  Tile::template Run<R>(segment, k, a, stride, acc);
  for (int r = 0; r < R; ++r) StoreF(Add(LoadF(totals + 16 * r), acc[r]), totals + 16 * r);
}

// Takes R tokens at a time while there are so many, and returns the first one left.
template <class Tile, int R>
SLUICE_INLINE int AddWhile(const uint8_t* segment, int k, const uint8_t* a, int64_t stride,
                           int token, int num_tokens, float* totals) {
  if constexpr (R <= Tile::kTokens) {
    for (; num_tokens - token >= R; token += R) {
      AddSegment<Tile, R>(segment, k, a + token * stride, stride, totals + 16 * token);
    }
  }
  return token;
}

// totals[token][16] = the tile's rows times each of a panel's tokens.
template <class Tile>
SLUICE_INLINE void MultiplyPanel(const uint8_t* tile, int64_t k, const uint8_t* a, int64_t stride,
                                 int num_tokens, float* totals) {
  for (int i = 0; i < num_tokens; ++i) StoreF(ZeroF(), totals + 16 * i);
  for (int64_t begin = 0; begin < k; begin += kSegment) {
    const int n = static_cast<int>(k - begin < kSegment ? k - begin : kSegment);
    int token = AddWhile<Tile, 8>(tile, n, a, stride, 0, num_tokens, totals);
    token = AddWhile<Tile, 6>(tile, n, a, stride, token, num_tokens, totals);
    token = AddWhile<Tile, 4>(tile, n, a, stride, token, num_tokens, totals);
    token = AddWhile<Tile, 3>(tile, n, a, stride, token, num_tokens, totals);
    token = AddWhile<Tile, 2>(tile, n, a, stride, token, num_tokens, totals);
    AddWhile<Tile, 1>(tile, n, a, stride, token, num_tokens, totals);
    tile += Tile::SegmentBytes();
    a += Tile::kActivationBytes;
  }
}

// Writes a panel's results for `lanes` rows from `row` on. `totals` is gate's for kSwiGlu, `up`
// up's.
inline void Finish(const MatMulJob& job, int64_t row, int lanes, int64_t token, int num_tokens,
                   const float* totals, const float* up) {
  for (int i = 0; i < num_tokens; ++i) {
    float* out = job.out + (token + i) * job.out_stride + row;
    F32 y = LoadF(totals + 16 * i);
    if (job.addend != nullptr) y = Add(y, LoadFirst(job.addend + row, lanes));
    if (job.epilogue == kAdd) y = Add(LoadFirst(out, lanes), y);
    if (job.epilogue == kMultiply) y = Mul(Silu(LoadFirst(out, lanes)), y);
    if (job.epilogue == kSwiGlu) {
      F32 other = LoadF(up + 16 * i);
      if (job.up_addend != nullptr) other = Add(other, LoadFirst(job.up_addend + row, lanes));
      y = Mul(Silu(y), other);
    }
    StoreFirst(y, out, lanes);
  }
}

template <class Tile>
void MatMul(const MatMulJob& job) {
  alignas(64) float totals[2][kPanelTokens * 16];  // of a tile, or of gate and up
  const int sides = job.epilogue == kSwiGlu ? 2 : 1;
  for (int64_t tile = job.tile_begin; tile < job.tile_end; ++tile) {
    const int64_t row = job.first_row + 16 * tile;
    const int64_t left = job.matrix_rows - row;
    if (left <= 0) return;
    const int lanes = left < 16 ? static_cast<int>(left) : 16;
    for (int64_t token = 0; token < job.num_tokens; token += kPanelTokens) {
      const int64_t rest = job.num_tokens - token;
      const int num_tokens = rest < kPanelTokens ? static_cast<int>(rest) : kPanelTokens;
      for (int side = 0; side < sides; ++side) {
        MultiplyPanel<Tile>(job.tiles + (tile * sides + side) * job.tile_bytes, job.k,
                            job.activations + token * job.activation_stride, job.activation_stride,
                            num_tokens, totals[side]);
      }
      Finish(job, row, lanes, token, num_tokens, totals[0], totals[1]);
    }
  }
}

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_KERNELS_CPU_MATMUL_SIMD_H_
