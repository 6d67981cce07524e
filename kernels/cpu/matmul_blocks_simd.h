// Decoders of weights in blocks of 32 values for matrix products: tiles as in
// kernels/encodings/tile.h, sums as in docs/arithmetic.md.
//
// Each decoder has kGroup, Bytes(n) of a group of n values, and Add(), which continues the chains
// of R tokens by one group: `a` is the group's place in the first token's activations, `stride`
// bytes before the next token's.
#ifndef SLUICE_KERNELS_CPU_MATMUL_BLOCKS_SIMD_H_
#define SLUICE_KERNELS_CPU_MATMUL_BLOCKS_SIMD_H_

#include "kernels/cpu/matmul_lines_simd.h"
#include "kernels/cpu/simd.h"
#include "kernels/encodings/activation_layout.h"
#include "kernels/encodings/codebooks.h"

namespace sluice::SLUICE_SIMD_NAMESPACE {

// Blocks with one scale and weights of 8 bits. Each format: kLines a block, kQuads a line, and a
// table from which Load() makes weights of a line: quads l and, where there are two, l + 4.
template <class Format>
struct ByteBlocks {
  static constexpr int kGroup = 256;
  static constexpr int kTokens = kMaxTokens;
  static constexpr bool kManyPlanes = false;
  SLUICE_INLINE static int64_t Bytes(int n) {
    return PadTo64(n / 32 * 32) + n / 32 * Format::kLines * kLine;
  }

  template <int R>
  SLUICE_INLINE static void Add(const uint8_t* group, int n, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    const Format format;
    const uint8_t* quants = group + PadTo64(n / 32 * 32);
    for (int block = 0; block < n / 32; ++block) {
      I32 sum[R];
      for (int r = 0; r < R; ++r) {
        const auto* at = reinterpret_cast<const ActivationGroup32*>(a + r * stride);
        sum[r] = StartBytes(at->minus_sums + block);
      }
#pragma GCC unroll 8
      for (int l = 0; l < Format::kLines; ++l) {
        ByteWeights w[Format::kQuads];
        format.Load(LoadLine<Ahead(R, kManyPlanes)>(quants + (Format::kLines * block + l) * kLine),
                    w);
        for (int r = 0; r < R; ++r) {
          const uint8_t* x = a + r * stride + 32 * block + 4 * l;
          for (int i = 0; i < Format::kQuads; ++i) {
            sum[r] = DotBytes(sum[r], w[i], BroadcastI(x + 16 * i));
          }
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

struct Q8_0Format {
  static constexpr int kLines = 8;
  static constexpr int kQuads = 1;
  SLUICE_INLINE void Load(I32 line, ByteWeights (&w)[1]) const { w[0] = PrepareBytes(line); }
};
using Q8_0 = ByteBlocks<Q8_0Format>;

struct IQ4_NLFormat {
  static constexpr int kLines = 4;
  static constexpr int kQuads = 2;
  const ByteTable table = LoadByteTable(kIq4Values);
  SLUICE_INLINE void Load(I32 line, ByteWeights (&w)[2]) const {
    w[0] = LookUpBytes(table, LowNibbles(line));
    w[1] = LookUpBytes(table, HighNibbles(line));
  }
};
using IQ4_NL = ByteBlocks<IQ4_NLFormat>;

// Blocks of nibbles, with fifth bits or without. Each format: kScaleBytes of a block, kFifthBit,
// kMin, kMaxWeight, Weights() from quants, LoadScale() of 16 rows, and Offset(), by which weights
// are above what they stand for, times what it is given.
template <class Format>
struct NibbleBlocks {
  static constexpr int kGroup = 256;
  static constexpr int kTokens = kMaxTokens;
  // q4_1's scales jump as far as a plane of fifth bits: 25 GB/s on Zen 4, without our prefetches 9.
  static constexpr bool kManyPlanes = Format::kFifthBit || Format::kMin;
  SLUICE_INLINE static int64_t Fifth(int n) { return PadTo64(n / 32 * Format::kScaleBytes); }
  SLUICE_INLINE static int64_t Quants(int n) {
    return Fifth(n) + Format::kFifthBit * (n / 32) * kLine;
  }
  SLUICE_INLINE static int64_t Bytes(int n) { return Quants(n) + n / 32 * 4 * kLine; }

  // Where a partial sum has room for half of a block only, low and high quads go apart.
  static constexpr bool kApart = Format::kMaxWeight > 15 && kQuadsOf5Bits < 8;

  template <int kL, int R>
  SLUICE_INLINE static void AddLine(const Format& format, const uint8_t* quants, I32 fifth,
                                    const uint8_t* x, int64_t stride, Partial (&sum)[R],
                                    Partial (&other)[R]) {
    const I32 line = LoadLine<Ahead(R, kManyPlanes)>(quants + kL * kLine);
    I32 low = LowNibbles(line);
    I32 high = HighNibbles(line);
    if constexpr (Format::kFifthBit) {
      const I32 mask = SetI(0x10101010);
      low = Or(low, And(Shl<4 - kL>(fifth), mask));
      high = Or(high, And(Shr<kL>(fifth), mask));
    }
    low = format.Weights(low);
    high = format.Weights(high);
    for (int r = 0; r < R; ++r) {
      const uint8_t* at = x + r * stride + 4 * kL;
      sum[r] = Dot(sum[r], low, BroadcastI(at));
      Partial& upper = kApart ? other[r] : sum[r];
      upper = Dot(upper, high, BroadcastI(at + 16));
    }
  }

  template <int R>
  SLUICE_INLINE static void Add(const uint8_t* group, int n, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    const Format format;
    for (int block = 0; block < n / 32; ++block) {
      const uint8_t* quants = group + Quants(n) + 4 * block * kLine;
      const uint8_t* x = a + 32 * block;
      const I32 fifth = Format::kFifthBit
                            ? LoadLine<Ahead(R, kManyPlanes)>(group + Fifth(n) + block * kLine)
                            : ZeroI();
      Partial sum[R], other[R];
      for (int r = 0; r < R; ++r) sum[r] = other[r] = ZeroPartial();
      AddLine<0>(format, quants, fifth, x, stride, sum, other);
      AddLine<1>(format, quants, fifth, x, stride, sum, other);
      AddLine<2>(format, quants, fifth, x, stride, sum, other);
      AddLine<3>(format, quants, fifth, x, stride, sum, other);
      const uint8_t* scales = group + block * Format::kScaleBytes;
      const F32 d = format.template LoadScale<Ahead(R, kManyPlanes)>(scales);
      for (int r = 0; r < R; ++r) {
        const auto* at = reinterpret_cast<const ActivationGroup32*>(a + r * stride);
        const I32 minus_sum = BroadcastI(at->minus_sums + block);
        const F32 scale = BroadcastF(at->scales + block);
        I32 isum = Widen(sum[r]);
        if constexpr (kApart) isum = AddI(isum, Widen(other[r]));
        isum = AddI(isum, format.Offset(minus_sum));
        acc[r] = Fma(ToFloat(isum), Mul(d, scale), acc[r]);
        if constexpr (Format::kMin) {
          const F32 m = LoadHalves(scales + 32);
          acc[r] = NegFma(ToFloat(minus_sum), Mul(m, scale), acc[r]);
        }
      }
    }
  }
};

// value = d * (quant - offset)
template <int kFifth>
struct Q45_0Format {
  static constexpr int kScaleBytes = 32;
  static constexpr int kFifthBit = kFifth;
  static constexpr bool kMin = false;
  static constexpr int kMaxWeight = kFifth ? 31 : 15;
  SLUICE_INLINE I32 Weights(I32 quants) const { return quants; }
  SLUICE_INLINE I32 Offset(I32 x) const { return Shl<3 + kFifth>(x); }
  template <int kAhead>
  SLUICE_INLINE F32 LoadScale(const uint8_t* p) const {
    return LoadScales<kAhead>(p);
  }
};
using Q4_0 = NibbleBlocks<Q45_0Format<0>>;
using Q5_0 = NibbleBlocks<Q45_0Format<1>>;

// value = d * quant + m
template <int kFifth>
struct Q45_1Format : Q45_0Format<kFifth> {
  static constexpr int kScaleBytes = 64;
  static constexpr bool kMin = true;
  SLUICE_INLINE I32 Offset(I32) const { return ZeroI(); }
};
using Q4_1 = NibbleBlocks<Q45_1Format<0>>;
using Q5_1 = NibbleBlocks<Q45_1Format<1>>;

struct MXFP4Format {
  static constexpr int kScaleBytes = 16;
  static constexpr int kFifthBit = 0;
  static constexpr bool kMin = false;
  static constexpr int kMaxWeight = 24;
  const Table table = AddToTable(LoadTable(kMxfp4Values), 12);
  SLUICE_INLINE I32 Weights(I32 quants) const { return LookUp(table, quants); }
  SLUICE_INLINE I32 Offset(I32 x) const { return AddI(Shl<3>(x), Shl<2>(x)); }  // 12
  // 2^(e - 128), e = 255 being NaN: the exponent of an f32, which for e = 0 is the subnormal
  // 2^-127, is halved; what is 2^128 is infinite, and infinity times 0 is NaN.
  template <int kAhead>
  SLUICE_INLINE F32 LoadScale(const uint8_t* p) const {
    if constexpr (kAhead > 0) PrefetchL2(p + kAhead);
    const F32 scale = AsFloat(MaxI(Shl<23>(WidenBytes(p)), SetI(1 << 22)));
    return Fma(scale, SetF(0.5f), Mul(scale, ZeroF()));
  }
};
using MXFP4 = NibbleBlocks<MXFP4Format>;

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_KERNELS_CPU_MATMUL_BLOCKS_SIMD_H_
