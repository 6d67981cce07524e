// Multiply-adds in registers only: enough independent chains to fill the units.
#ifndef SLUICE_BENCH_PEAK_PEAK_SIMD_H_
#define SLUICE_BENCH_PEAK_PEAK_SIMD_H_

#include "bench/peak/peak_loops.h"
#include "kernels/cpu/simd.h"

namespace sluice::SLUICE_SIMD_NAMESPACE {

// With one instruction a 64 bytes of weights where there is one; AVX2 pays vpmaddubsw, vpaddw.
inline int64_t PeakInt8(int64_t rounds) {
  constexpr int kChains = kMaxTokens + kMaxTokens / 2;
  Partial sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = ZeroPartial();
  I32 weights = SetI(0x01020304);
  I32 x = SetI(0x01010101);
  for (int64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < kChains; ++i) sums[i] = Dot(sums[i], weights, x);
    Opaque(&weights, &x);
  }
  I32 sum = ZeroI();
  for (int i = 0; i < kChains; ++i) sum = AddI(sum, Widen(sums[i]));
  volatile int32_t sink = ReduceAddI(sum);
  (void)sink;
  return rounds * kChains * 128;
}

inline int64_t PeakF32(int64_t rounds) {
  constexpr int kChains = kMaxTokens + kMaxTokens / 2;
  F32 sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = ZeroF();
  I32 weights = AsInt(SetF(1.0f));
  I32 x = AsInt(SetF(0.5f));
  for (int64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < kChains; ++i) sums[i] = Fma(AsFloat(weights), AsFloat(x), sums[i]);
    Opaque(&weights, &x);
  }
  F32 sum = ZeroF();
  for (int i = 0; i < kChains; ++i) sum = Add(sum, sums[i]);
  volatile float sink = ReduceSum(sum);
  (void)sink;
  return rounds * kChains * 32;
}

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_BENCH_PEAK_PEAK_SIMD_H_
