// Decoders of weights in blocks of 32 values, or of 64 or 128 that share a head, for matrix
// products: all that differs is in the encodings' headers of planes (kernels/encodings/planes.h);
// sums as in docs/arithmetic.md.
#ifndef SLUICE_KERNELS_CPU_MATMUL_BLOCKS_SIMD_H_
#define SLUICE_KERNELS_CPU_MATMUL_BLOCKS_SIMD_H_

#include "kernels/cpu/matmul_lines_simd.h"
#include "kernels/cpu/simd.h"
#include "kernels/encodings/activation_layout.h"
#include "kernels/encodings/planes.h"

namespace sluice::SLUICE_SIMD_NAMESPACE {

// These are a codebook's lowest value, and how far its highest one is above it.
template <class P>
SLUICE_INLINE constexpr int LowestOfBook() {
  int lowest = P::kBook[0];
  for (int i = 1; i < 16; ++i) lowest = P::kBook[i] < lowest ? P::kBook[i] : lowest;
  return lowest;
}
template <class P>
SLUICE_INLINE constexpr int SpanOfBook() {
  int highest = P::kBook[0];
  for (int i = 1; i < 16; ++i) highest = P::kBook[i] > highest ? P::kBook[i] : highest;
  return highest - LowestOfBook<P>();
}

// Weights need a signed byte each; others have 5 bits at most above some lowest value.
template <class P>
SLUICE_INLINE constexpr bool HasByteWeights() {
  if constexpr (P::kHasBook) {
    return SpanOfBook<P>() > 31;
  } else {
    return P::kQuantBits == 8;
  }
}

// Makes weights of 8 bits of a line: quads l and, where there are two, l + 4.
template <class P>
struct ByteQuads {
  static constexpr int kQuads = 1;
  SLUICE_INLINE void Load(I32 line, ByteWeights (&w)[1]) const { w[0] = PrepareBytes(line); }
};
template <class P>
requires P::kHasBook struct ByteQuads<P> {
  static constexpr int kQuads = 2;
  const ByteTable table = LoadByteTable(P::kBook);
  SLUICE_INLINE void Load(I32 line, ByteWeights (&w)[2]) const {
    w[0] = LookUpBytes(table, LowNibbles(line));
    w[1] = LookUpBytes(table, HighNibbles(line));
  }
};

// Adds 32 weights of 8 bits times the activations of R tokens, from `x` on.
template <class P, int kAhead, int R>
SLUICE_INLINE void AddByteLines(const ByteQuads<P>& format, const uint8_t* quants, const uint8_t* x,
                                int64_t stride, I32 (&sum)[R]) {
  constexpr int kQuads = ByteQuads<P>::kQuads;
#pragma GCC unroll 8
  for (int l = 0; l < 8 / kQuads; ++l) {
    ByteWeights w[kQuads];
    format.Load(LoadLine<kAhead>(quants + l * kLine), w);
    for (int r = 0; r < R; ++r) {
      for (int i = 0; i < kQuads; ++i) {
        sum[r] = DotBytes(sum[r], w[i], BroadcastI(x + r * stride + 4 * l + 16 * i));
      }
    }
  }
}

// Blocks with one scale and weights of 8 bits.
template <class P>
struct ByteBlocks {
  static constexpr int kTokens = kMaxTokens;
  static constexpr bool kManyPlanes = false;
  static_assert(P::kHeadBytes == 2 && P::kExtraLines == 0);

  template <int R>
  SLUICE_INLINE static void Add(const uint8_t* group, int blocks, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    const ByteQuads<P> format;
    const uint8_t* quants = group + P::Quants(blocks);
    for (int block = 0; block < blocks; ++block) {
      I32 sum[R];
      for (int r = 0; r < R; ++r) {
        const auto* at = reinterpret_cast<const ActivationGroup32*>(a + r * stride);
        sum[r] = StartBytes(at->minus_sums + block);
      }
      AddByteLines<P, Ahead(R, kManyPlanes)>(format, quants + P::kQuantLines * block * kLine,
                                             a + 32 * block, stride, sum);
      const F32 d = LoadScales<Ahead(R, kManyPlanes)>(group + 32 * block);
      for (int r = 0; r < R; ++r) {
        const auto* at = reinterpret_cast<const ActivationGroup32*>(a + r * stride);
        acc[r] = Fma(ToFloat(sum[r]), Mul(d, BroadcastF(at->scales + block)), acc[r]);
      }
    }
  }
};

// Weights of quants, kMost at most, and kOffset, by which they are above what they stand for.
template <class P>
struct SmallWeights {
  static constexpr int kMost = (1 << (P::kQuantBits + P::kExtraBits)) - 1;
  static constexpr int kOffset = P::kOffset;
  SLUICE_INLINE I32 Of(I32 quants) const { return quants; }
};
template <class P>
requires P::kHasBook struct SmallWeights<P> {
  static constexpr int kMost = SpanOfBook<P>();
  static constexpr int kOffset = -LowestOfBook<P>();
  const Table table = AddToTable(LoadTable(P::kBook), kOffset);
  SLUICE_INLINE I32 Of(I32 quants) const { return LookUp(table, quants); }
};

// The scales of a block's 16 rows: f16, the exponents of 2^(e - 128), e = 255 being NaN, or f16 and
// bf16 side by side.
template <class P, int kAhead>
SLUICE_INLINE F32 LoadBlockScales(const uint8_t* p) {
  if constexpr (P::kHeadBytes == 1) {
    // The exponent of an f32, which for e = 0 is the subnormal 2^-127, is halved; what is 2^128 is
    // infinite, and infinity times 0 is NaN.
    if constexpr (kAhead > 0) PrefetchL2(p + kAhead);
    const F32 scale = AsFloat(MaxI(Shl<23>(WidenBytes(p)), SetI(1 << 22)));
    return Fma(scale, SetF(0.5f), Mul(scale, ZeroF()));
  } else if constexpr (P::kZeroPoints) {
    const I32 is_bf16 = Shr<7>(WidenBytes(p + kHalfLineBytes));  // 0 or 1
    const I32 bf16 = And(Shl<16>(WidenHalves(p)), SubI(ZeroI(), is_bf16));
    return AsFloat(Or(bf16, And(AsInt(LoadScales<kAhead>(p)), SubI(is_bf16, SetI(1)))));
  } else {
    return LoadScales<kAhead>(p);
  }
}

// -(what a run's 16 rows take off for each unit of activation).
template <class P>
SLUICE_INLINE I32 AddOffset(I32 isum, I32 minus_sum, const uint8_t* head) {
  if constexpr (P::kZeroPoints) {
    // Both fit 16 bits, and the upper halves of zero points are 0.
    const I32 zero_points = And(WidenBytes(head + kHalfLineBytes), SetI(127));
    return MulAddPairs(isum, zero_points, minus_sum);
  } else {
    return AddI(isum, Times<SmallWeights<P>::kOffset>(minus_sum));
  }
}

// Blocks of nibbles, with fifth bits or without, and with minima, zero points or neither.
template <class P>
struct NibbleBlocks {
  using Weights = SmallWeights<P>;
  static constexpr int kTokens = kMaxTokens;
  static constexpr bool kFifthBit = P::kExtraLines == 1;
  // q4_1's scales jump as far as a plane of fifth bits: 25 GB/s on Zen 4, without our prefetches 9.
  static constexpr bool kManyPlanes = kFifthBit || P::kMinima;
  static_assert(P::kQuantBits == 4 && P::kExtraLines <= 1);

  // Where a partial sum has room for half of a block only, low and high quads go apart.
  static constexpr bool kApart = Weights::kMost > 15 && kQuadsOf5Bits < 8;

  template <int R>
  SLUICE_INLINE static void Add(const uint8_t* group, int blocks, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    constexpr int kAhead = Ahead(R, kManyPlanes);
    const Weights weights;
    for (int run = 0; run < P::kBlockRuns * blocks; ++run) {  // of 32 values
      const uint8_t* quants = group + P::Quants(blocks) + 4 * run * kLine;
      constexpr bool kOneGroup = P::kGroupValues <= 256;
      const uint8_t* group_of = kOneGroup ? a : a + run / 8 * kActivationGroupBytes;
      const int at_run = kOneGroup ? run : run % 8;
      const uint8_t* x = group_of + 32 * at_run;
      const UpperBits fifth = LoadUpperBits<P, kAhead>(group + P::Extra(blocks) + run * kLine);
      Partial sum[R], other[R];
      for (int r = 0; r < R; ++r) sum[r] = other[r] = ZeroPartial();
      AddNibbleLines<P, !kApart, kAhead, 0, 4>(weights, quants, fifth, x, stride, sum, other);
      const uint8_t* head = group + run / P::kBlockRuns * P::kHeadBytes * kTileRows;
      const F32 d = LoadBlockScales<P, kAhead>(head);
      for (int r = 0; r < R; ++r) {
        const auto* at = reinterpret_cast<const ActivationGroup32*>(group_of + r * stride);
        const I32 minus_sum = BroadcastI(at->minus_sums + at_run);
        const F32 scale = BroadcastF(at->scales + at_run);
        I32 isum = Widen(sum[r]);
        if constexpr (kApart) isum = AddI(isum, Widen(other[r]));
        isum = AddOffset<P>(isum, minus_sum, head);
        acc[r] = Fma(ToFloat(isum), Mul(d, scale), acc[r]);
        if constexpr (P::kMinima) {
          const F32 m = LoadHalves(head + kHalfLineBytes);
          acc[r] = NegFma(ToFloat(minus_sum), Mul(m, scale), acc[r]);
        }
      }
    }
  }
};

template <class P>
requires(P::kSums == Sums::kBlocks && HasByteWeights<P>()) struct Decoder<P> : ByteBlocks<P> {
};
template <class P>
requires(P::kSums == Sums::kBlocks && !HasByteWeights<P>()) struct Decoder<P> : NibbleBlocks<P> {
};

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_KERNELS_CPU_MATMUL_BLOCKS_SIMD_H_
