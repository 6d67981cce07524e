// The peak loop of vdpbf16ps.
#include "bench/peak/peak_loops.h"

#if defined(__x86_64__)
#include "kernels/cpu/simd.h"

namespace sluice {
namespace avx512bf16 {
namespace {

int64_t PeakBF16(int64_t rounds) {
  constexpr int kChains = 12;
  F32 sums[kChains];
  for (int i = 0; i < kChains; ++i) sums[i] = SetF(static_cast<float>(i));
  I32 weights = SetI(0x3F803F80);  // pairs of 1
  I32 x = SetI(0x3F003F00);        // pairs of 0.5
  for (int64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < kChains; ++i) sums[i] = DotPairs(sums[i], weights, x);
    Opaque(&weights, &x);
  }
  F32 sum = ZeroF();
  for (int i = 0; i < kChains; ++i) sum = Add(sum, sums[i]);
  volatile float sink = ReduceSum(sum);
  (void)sink;
  return rounds * kChains * 64;
}

}  // namespace
}  // namespace avx512bf16

const PeakLoop kAvx512PeakBF16 = avx512bf16::PeakBF16;

}  // namespace sluice
#endif
