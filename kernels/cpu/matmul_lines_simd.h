// What the decoders of matrix products have in common: lines of weights, and asking for them ahead.
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

// The decoder of the encoding with planes `P`: kTokens at once at most, and Add(), which continues
// the chains of R tokens by one group of `blocks` blocks: `a` is the group's place in the first
// token's activations, `stride` bytes before the next token's.
template <class P>
struct Decoder;

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_KERNELS_CPU_MATMUL_LINES_SIMD_H_
