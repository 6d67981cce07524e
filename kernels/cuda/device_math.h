// exp, silu and rounding on a device, in the bits of docs/arithmetic.md; for kernels only.
#ifndef SLUICE_KERNELS_CUDA_DEVICE_MATH_H_
#define SLUICE_KERNELS_CUDA_DEVICE_MATH_H_

#include "kernels/cpu/exp_constants.h"
#include "kernels/cuda/ptx.h"

namespace sluice::cuda {

__device__ __forceinline__ float Exp(float x) {
  if (x != x) return x;
  if (x < kExpMin) return 0.0f;
  if (x > kExpMax) x = kExpMax;
  const float n = rintf(x * kLog2E);
  float r = fmaf(n, kMinusLn2High, x);
  r = fmaf(n, kMinusLn2Low, r);
  float p = kExp6;
  p = fmaf(p, r, kExp5);
  p = fmaf(p, r, kExp4);
  p = fmaf(p, r, kExp3);
  p = fmaf(p, r, kExp2);
  p = fmaf(p, r, 1.0f);
  p = fmaf(p, r, 1.0f);
  return FloatOf(BitsOf(p) + (static_cast<uint32_t>(static_cast<int32_t>(n)) << 23));
}

__device__ __forceinline__ float Silu(float x) { return x / (1.0f + Exp(-x)); }

// The total of 16 chains, one in each lane of a half-warp, by the tree of docs/arithmetic.md; in
// every lane. Addition commutes, so that exchanging lanes gives the tree's bits.
__device__ __forceinline__ float TotalOf16(float chain) {
#pragma unroll
  for (int step = 8; step > 0; step /= 2) chain = chain + ShuffleXor(chain, step);
  return chain;
}

__device__ __forceinline__ bool IsFinite(float x) {
  return (BitsOf(x) & 0x7F800000u) != 0x7F800000u;
}

// Rounded to nearest even; NaN stays NaN.
__device__ __forceinline__ uint16_t F32ToBF16(float x) {
  const uint32_t bits = BitsOf(x);
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_DEVICE_MATH_H_
