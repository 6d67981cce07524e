// Decoders of weights in super-blocks of 256 values for matrix products; see matmul_blocks_simd.h.
//
// One loop for q2_k to q5_k was tried: it cost q2_k 18% and q3_k and q4_k 4 to 9% with many tokens.
#ifndef SLUICE_KERNELS_CPU_MATMUL_SUPER_BLOCKS_SIMD_H_
#define SLUICE_KERNELS_CPU_MATMUL_SUPER_BLOCKS_SIMD_H_

#include "kernels/cpu/matmul_blocks_simd.h"
#include "kernels/cpu/matmul_lines_simd.h"
#include "kernels/cpu/simd.h"
#include "kernels/encodings/activation_layout.h"
#include "kernels/encodings/iq4_xs_planes.h"
#include "kernels/encodings/planes.h"
#include "kernels/encodings/q2_k_planes.h"
#include "kernels/encodings/q3_k_planes.h"
#include "kernels/encodings/q4_k_planes.h"
#include "kernels/encodings/q5_k_planes.h"
#include "kernels/encodings/q6_k_planes.h"

namespace sluice::SLUICE_SIMD_NAMESPACE {

// The scales of four sub-blocks, the bytes of `four`, which have signs, as AddScaled wants them.
SLUICE_INLINE void SignedScales(I32 four, I32 (&scales)[4]) {
  scales[0] = SignedScaleOfHighByte(Shl<24>(four));
  scales[1] = SignedScaleOfHighByte(Shl<16>(four));
  scales[2] = SignedScaleOfHighByte(Shl<8>(four));
  scales[3] = SignedScaleOfHighByte(four);
}

// q4_k and q5_k.
template <class P>
struct AffineDecoder {
  static constexpr int kTokens = kMaxTokens;
  static constexpr bool kFifthBit = P::kExtraBits == 1;
  static constexpr bool kManyPlanes = kFifthBit;
  static constexpr int kQuants = P::Quants(1);

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
    const uint8_t* six_bits = group + P::Scales(1);
    const I32 low_scales = LoadLine<Ahead(R, kManyPlanes)>(six_bits);
    const I32 low_minima = LoadLine<Ahead(R, kManyPlanes)>(six_bits + kLine);
    const I32 high = LoadLine<Ahead(R, kManyPlanes)>(six_bits + 2 * kLine);
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
            kFifthBit ? LoadLine<Ahead(R, kManyPlanes)>(group + P::Extra(1) + s * kLine) : ZeroI();
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

// The weights of quad kT of a line that holds 16 values in pairs of bits.
template <int kT>
SLUICE_INLINE I32 PairsOfBits(I32 line) {
  return And(Shr<2 * kT>(line), SetI(0x03030303));
}

template <>
struct Decoder<Q2_KPlanes> {
  using P = Q2_KPlanes;
  static constexpr int kTokens = kMaxTokens;
  static constexpr bool kManyPlanes = false;
  static constexpr int kQuants = P::Quants(1);

  template <int R>
  SLUICE_INLINE static void Add(const uint8_t* group, int, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    I32 scaled[R], minima[R];
    for (int r = 0; r < R; ++r) scaled[r] = minima[r] = ZeroI();
    for (int w = 0; w < 4; ++w) {  // four sub-blocks of 16
      const I32 four = LoadLine<Ahead(R, kManyPlanes)>(group + P::Scales(1) + w * kLine);
      I32 rest = LowNibbles(four);
      for (int s = 4 * w; s < 4 * w + 4; ++s) {
        const I32 line = LoadLine<Ahead(R, kManyPlanes)>(group + kQuants + s * kLine);
        const I32 quads[4] = {PairsOfBits<0>(line), PairsOfBits<1>(line), PairsOfBits<2>(line),
                              PairsOfBits<3>(line)};
        const I32 scale = ScaleOfLowByte(rest);
        rest = Shr<8>(rest);
        for (int r = 0; r < R; ++r) {
          const uint8_t* x = a + r * stride + 16 * s;
          Partial sum = ZeroPartial();
          for (int t = 0; t < 4; ++t) sum = Dot(sum, quads[t], BroadcastI(x + 4 * t));
          scaled[r] = AddScaled(scaled[r], sum, scale);
        }
      }
      const I32 mins = HighNibbles(four);
      const I32 even = EvenBytesSigned(mins), odd = OddBytesSigned(mins);
      for (int r = 0; r < R; ++r) {
        const auto* at = reinterpret_cast<const ActivationGroup256*>(a + r * stride);
        minima[r] = MulAddPairs(minima[r], even, BroadcastI(at->sums16 + 4 * w));
        minima[r] = MulAddPairs(minima[r], odd, BroadcastI(at->sums16 + 4 * w + 2));
      }
    }
    const F32 d = LoadScales<Ahead(R, kManyPlanes)>(group);
    const F32 dmin = LoadScales<Ahead(R, kManyPlanes)>(group + 32);
    for (int r = 0; r < R; ++r) {
      const auto* at = reinterpret_cast<const ActivationGroup256*>(a + r * stride);
      const F32 scale = BroadcastF(&at->scale);
      acc[r] = Fma(ToFloat(scaled[r]), Mul(d, scale), acc[r]);
      acc[r] = NegFma(ToFloat(minima[r]), Mul(dmin, scale), acc[r]);
    }
  }
};

template <>
struct Decoder<Q3_KPlanes> {
  using P = Q3_KPlanes;
  static constexpr int kTokens = kMaxTokens;
  static constexpr bool kManyPlanes = true;

  // Quad kT of 16 values; its third bits are bit kBit of the bytes of `third`.
  template <int kT, int kBit>
  SLUICE_INLINE static I32 Quad(I32 line, I32 third) {
    const I32 mask = SetI(0x04040404);
    if constexpr (kBit < 2) {
      return Or(PairsOfBits<kT>(line), And(Shl<2 - kBit>(third), mask));
    } else {
      return Or(PairsOfBits<kT>(line), And(Shr<kBit - 2>(third), mask));
    }
  }

  // 16 values, whose third bits begin at bit kBit, and their scale.
  template <int kBit, int R>
  SLUICE_INLINE static void AddSubBlock(const uint8_t* quants, I32 third, I32 scale,
                                        const uint8_t* x, int64_t stride, I32 (&scaled)[R]) {
    const I32 line = LoadLine<Ahead(R, kManyPlanes)>(quants);
    const I32 quads[4] = {Quad<0, kBit>(line, third), Quad<1, kBit + 1>(line, third),
                          Quad<2, kBit + 2>(line, third), Quad<3, kBit + 3>(line, third)};
    for (int r = 0; r < R; ++r) {
      Partial sum = ZeroPartial();
      for (int t = 0; t < 4; ++t) sum = Dot(sum, quads[t], BroadcastI(x + r * stride + 4 * t));
      scaled[r] = AddScaled(scaled[r], sum, scale);
    }
  }

  template <int R>
  SLUICE_INLINE static void Add(const uint8_t* group, int blocks, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    for (int b = 0; b < blocks; ++b) {
      const BlockPlanes<const uint8_t> block = P::At(group, blocks, b);
      const I32 low[2] = {LoadLine<Ahead(R, kManyPlanes)>(block.scales),
                          LoadLine<Ahead(R, kManyPlanes)>(block.scales + kLine)};
      I32 high = LoadLine<Ahead(R, kManyPlanes)>(block.scales + 2 * kLine);
      I32 scaled[R], offset[R];
      for (int r = 0; r < R; ++r) scaled[r] = offset[r] = ZeroI();
      for (int w = 0; w < 4; ++w) {  // 64 values: four scales
        const I32 nibbles = w < 2 ? LowNibbles(low[w]) : HighNibbles(low[w - 2]);
        const I32 four =
            SubBytes(Or(nibbles, Shl<4>(And(high, SetI(0x03030303)))), SetI(0x20202020));
        high = Shr<2>(high);
        I32 scale_of[4];
        SignedScales(four, scale_of);
#pragma GCC unroll 2
        for (int s = 0; s < 2; ++s) {
          const int run = 2 * w + s;  // of 32 values
          const I32 third = LoadLine<Ahead(R, kManyPlanes)>(block.extra + run * kLine);
          const uint8_t* quants = block.quants + 2 * run * kLine;
          const uint8_t* x = a + b * kActivationGroupBytes + 32 * run;
          AddSubBlock<0>(quants, third, scale_of[2 * s], x, stride, scaled);
          AddSubBlock<4>(quants + kLine, third, scale_of[2 * s + 1], x + 16, stride, scaled);
        }
        const I32 even = EvenBytesSigned(four), odd = OddBytesSigned(four);
        for (int r = 0; r < R; ++r) {
          const auto* at = reinterpret_cast<const ActivationGroup256*>(
              a + b * kActivationGroupBytes + r * stride);
          offset[r] = MulAddPairs(offset[r], even, BroadcastI(at->sums16 + 4 * w));
          offset[r] = MulAddPairs(offset[r], odd, BroadcastI(at->sums16 + 4 * w + 2));
        }
      }
      const F32 d = LoadScales<Ahead(R, kManyPlanes)>(block.head);
      for (int r = 0; r < R; ++r) {
        const auto* at =
            reinterpret_cast<const ActivationGroup256*>(a + b * kActivationGroupBytes + r * stride);
        const I32 total = SubI(scaled[r], Shl<2>(offset[r]));
        acc[r] = Fma(ToFloat(total), Mul(d, BroadcastF(&at->scale)), acc[r]);
      }
    }
  }
};

// Weights of a codebook: iq4_xs.
template <class P>
struct BookSuperBlocks {
  static constexpr int kTokens = kMaxTokens;
  static constexpr bool kManyPlanes = false;
  static_assert(P::kSubBlockValues == 32 && P::kScaleLines == 1 && P::kGroupBlocks == 1);

  template <int R>
  SLUICE_INLINE static void Add(const uint8_t* group, int, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    constexpr int kAhead = Ahead(R, kManyPlanes);
    const ByteQuads<P> format;
    I32 high_scales = Shl<4>(WidenHalves(group + kHalfLineBytes));
    I32 low_scales = LoadLine<kAhead>(group + P::Scales(1));
    I32 scaled[R];
    for (int r = 0; r < R; ++r) scaled[r] = ZeroI();
    for (int s = 0; s < 8; ++s) {
      const I32 scale =
          SubI(Or(And(low_scales, SetI(0x0F)), And(high_scales, SetI(0x30))), SetI(32));
      low_scales = Shr<4>(low_scales);
      high_scales = Shr<2>(high_scales);
      I32 sum[R];
      for (int r = 0; r < R; ++r) {
        const auto* at = reinterpret_cast<const ActivationGroup256*>(a + r * stride);
        sum[r] = StartBytesOf(at->sums32[s / 4 * 4 + kSumPlace[s % 4]]);
      }
      AddByteLines<P, kAhead>(format, group + P::Quants(1) + 4 * s * kLine, a + 32 * s, stride,
                              sum);
      for (int r = 0; r < R; ++r) scaled[r] = AddI(scaled[r], MulI(sum[r], scale));
    }
    const F32 d = LoadScales<kAhead>(group);
    for (int r = 0; r < R; ++r) {
      const auto* at = reinterpret_cast<const ActivationGroup256*>(a + r * stride);
      acc[r] = Fma(ToFloat(scaled[r]), Mul(d, BroadcastF(&at->scale)), acc[r]);
    }
  }
};

// A sum for each 32 values, of two sub-blocks with signed scales: q6_k.
template <class P>
struct ScaledSuperBlocks {
  static constexpr int kTokens = kMaxTokens;
  static constexpr bool kManyPlanes = true;
  static_assert(P::kSubBlockValues == 16 && P::kOffset == 32);

  // 32 times each pair of scales: what minus the sums of the quants take off for the offset.
  SLUICE_INLINE static void OffsetsOf(I32 four, I32 (&offsets)[2]) {
    const I32 low_byte = SetI(0x0000FF00), high_byte = SetI(static_cast<int32_t>(0xFF000000));
    offsets[0] = OddBytesTimes32(Or(And(Shl<8>(four), low_byte), And(Shl<16>(four), high_byte)));
    offsets[1] = OddBytesTimes32(Or(And(Shr<8>(four), low_byte), And(four, high_byte)));
  }

  // Block `run` of 32 values of a super-block, with its two scales.
  template <int R>
  SLUICE_INLINE static void AddRun(const BlockPlanes<const uint8_t>& block, int run,
                                   const I32 (&scales)[2], I32 offset, const uint8_t* a,
                                   int64_t stride, F32 (&total)[R]) {
    constexpr int kAhead = Ahead(R, kManyPlanes);
    const UpperBits upper = LoadUpperBits<P, kAhead>(block.extra + P::kExtraBits * run * kLine);
    const auto at = [ a, stride ](int r) __attribute__((always_inline)) {
      return reinterpret_cast<const ActivationGroup32*>(a + r * stride);
    };
    const uint8_t* quants = block.quants + 4 * run * kLine;
    I32 scaled[R];
    Partial first[R], second[R];
    const auto start = [&]() __attribute__((always_inline)) {
      for (int r = 0; r < R; ++r) first[r] = second[r] = ZeroPartial();
    };
    const auto take_offset = [&]() __attribute__((always_inline)) {
      for (int r = 0; r < R; ++r) {
        scaled[r] = MulAddPairs(ZeroI(), offset, BroadcastI(at(r)->minus_sums16 + 2 * run));
      }
    };
    const auto flush = [&]() __attribute__((always_inline)) {
      for (int r = 0; r < R; ++r) {
        scaled[r] = AddScaled(scaled[r], first[r], scales[0]);
        scaled[r] = AddScaled(scaled[r], second[r], scales[1]);
      }
    };
    start();
    AddNibbleLines<P, false, kAhead, 0, 2>(PlainWeights(), quants, upper, a + 32 * run, stride,
                                           first, second);
    if constexpr (kQuadsOf6Bits < 4) {
      take_offset();
      flush();
      start();
    }
    AddNibbleLines<P, false, kAhead, 2, 4>(PlainWeights(), quants, upper, a + 32 * run, stride,
                                           first, second);
    if constexpr (kQuadsOf6Bits >= 4) take_offset();  // as late as can be: registers are few
    flush();
    for (int r = 0; r < R; ++r) {
      total[r] = Fma(ToFloat(scaled[r]), BroadcastF(at(r)->scales + run), total[r]);
    }
  }

  template <int R>
  SLUICE_INLINE static void Add(const uint8_t* group, int blocks, const uint8_t* a, int64_t stride,
                                F32 (&acc)[R]) {
    constexpr int kAhead = Ahead(R, kManyPlanes);
    for (int b = 0; b < blocks; ++b) {
      const BlockPlanes<const uint8_t> block = P::At(group, blocks, b);
      F32 total[R];  // of the super-block, but for d
      for (int r = 0; r < R; ++r) total[r] = ZeroF();
      for (int w = 0; w < 4; ++w) {  // 64 values: two blocks of 32, four scales
        const I32 four = LoadLine<kAhead>(block.scales + w * kLine);
        I32 scales[4], offsets[2];
        SignedScales(four, scales);
        OffsetsOf(four, offsets);
        const uint8_t* x = a + b * kActivationGroupBytes;
        AddRun(block, 2 * w, {scales[0], scales[1]}, offsets[0], x, stride, total);
        AddRun(block, 2 * w + 1, {scales[2], scales[3]}, offsets[1], x, stride, total);
      }
      const F32 d = LoadScales<kAhead>(block.head);
      for (int r = 0; r < R; ++r) acc[r] = Fma(total[r], d, acc[r]);
    }
  }
};

template <>
struct Decoder<Q4_KPlanes> : AffineDecoder<Q4_KPlanes> {};
template <>
struct Decoder<Q5_KPlanes> : AffineDecoder<Q5_KPlanes> {};
template <>
struct Decoder<Q6_KPlanes> : ScaledSuperBlocks<Q6_KPlanes> {};
template <>
struct Decoder<IQ4_XSPlanes> : BookSuperBlocks<IQ4_XSPlanes> {};

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_KERNELS_CPU_MATMUL_SUPER_BLOCKS_SIMD_H_
