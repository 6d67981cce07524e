// What the decoders of matrix products have in common: lines of weights, which they ask for ahead,
// and the quads that planes make of them.
#ifndef SLUICE_KERNELS_CPU_MATMUL_LINES_SIMD_H_
#define SLUICE_KERNELS_CPU_MATMUL_LINES_SIMD_H_

#include "kernels/cpu/simd.h"
#include "kernels/encodings/activation_layout.h"
#include "kernels/encodings/planes.h"

namespace sluice::SLUICE_SIMD_NAMESPACE {

inline constexpr int kLine = kLineBytes;
inline constexpr int64_t kActivationGroupBytes = sizeof(ActivationGroup256);

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

// x times a constant, by shifts.
template <int kFactor>
SLUICE_INLINE I32 Times(I32 x) {
  if constexpr (kFactor == 0) {
    return ZeroI();
  } else {
    constexpr int kTop = 31 - __builtin_clz(kFactor);
    constexpr int kRest = kFactor - (1 << kTop);
    if constexpr (kRest == 0) {
      return Shl<kTop>(x);
    } else {
      return AddI(Shl<kTop>(x), Times<kRest>(x));
    }
  }
}

// Moves bits of each byte from place kFrom on to place kTo on; `mask` has those of kTo.
template <int kFrom, int kTo>
SLUICE_INLINE I32 MoveBits(I32 x, int32_t mask) {
  if constexpr (kFrom > kTo) {
    return And(Shr<kFrom - kTo>(x), SetI(mask));
  } else {
    return And(Shl<kTo - kFrom>(x), SetI(mask));
  }
}

// The upper bits of 32 values' quants: a line or two from `lines` on, or none.
struct UpperBits {
  I32 line[2];
};
template <class P, int kAhead>
SLUICE_INLINE UpperBits LoadUpperBits(const uint8_t* lines) {
  UpperBits bits = {{ZeroI(), ZeroI()}};
  for (int i = 0; i < P::kExtraBits; ++i) bits.line[i] = LoadLine<kAhead>(lines + i * kLine);
  return bits;
}

// Quad kT (0..7) of 32 values, whose nibbles are in `line`, as quants.
template <class P, int kT>
SLUICE_INLINE I32 Quad(I32 line, const UpperBits& upper) {
  constexpr int kLow = P::kQuantBits;
  static_assert(kLow == 4);
  I32 quad = kT < 4 ? LowNibbles(line) : HighNibbles(line);
  if constexpr (P::kExtraBits == 1) {
    quad = Or(quad, MoveBits<kT, kLow>(upper.line[0], 0x01010101 << kLow));
  } else if constexpr (P::kExtraBits == 2) {
    quad = Or(quad, MoveBits<2 * (kT % 4), kLow>(upper.line[kT / 4], 0x03030303 << kLow));
  }
  return quad;
}

// Adds 32 quants of 4 to 6 bits times the activations of R tokens, from `x` on: values 0..15 to
// `low`, 16..31 to `high`. Where kTogether, all go to `low`.
template <class P, bool kTogether, int kAhead, int kFirst, int kEnd, class Weights, int R>
SLUICE_INLINE void AddNibbleLines(const Weights& weights, const uint8_t* quants,
                                  const UpperBits& upper, const uint8_t* x, int64_t stride,
                                  Partial (&low)[R], Partial (&high)[R]) {
  if constexpr (kFirst < kEnd) {
    const I32 line = LoadLine<kAhead>(quants + kFirst * kLine);
    const I32 first = weights.Of(Quad<P, kFirst>(line, upper));
    const I32 second = weights.Of(Quad<P, kFirst + 4>(line, upper));
    for (int r = 0; r < R; ++r) {
      const uint8_t* at = x + r * stride + 4 * kFirst;
      low[r] = Dot(low[r], first, BroadcastI(at));
      Partial& upper_half = kTogether ? low[r] : high[r];
      upper_half = Dot(upper_half, second, BroadcastI(at + 16));
    }
    AddNibbleLines<P, kTogether, kAhead, kFirst + 1, kEnd>(weights, quants, upper, x, stride, low,
                                                           high);
  }
}

// Quants that are weights.
struct PlainWeights {
  SLUICE_INLINE I32 Of(I32 quants) const { return quants; }
};

// The decoder of the encoding with planes `P`: kTokens at once at most, and Add(), which continues
// the chains of R tokens by one group of `blocks` blocks: `a` is the group's place in the first
// token's activations, `stride` bytes before the next token's.
template <class P>
struct Decoder;

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_KERNELS_CPU_MATMUL_LINES_SIMD_H_
