// What all quantizers need of a block: its largest magnitude, rounding, and scales as f16.
#ifndef SLUICE_KERNELS_ENCODINGS_BLOCK_SCALE_H_
#define SLUICE_KERNELS_ENCODINGS_BLOCK_SCALE_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/encodings/half.h"

namespace sluice {

// The d of a block that holds NaN or infinity: whatever the quants, every value decodes to NaN.
inline constexpr uint16_t kNaNScale = 0x7E00;

// Bits of the largest |x|; half::kInfBits or above if one is infinite or NaN. Magnitudes compare
// like the integers that they are written as, and unlike floats with NaN among them.
inline uint32_t LargestMagnitudeBits(const float* x, int n) {
  int32_t largest = 0;
  for (int i = 0; i < n; ++i) {
    largest =
        std::max(largest, static_cast<int32_t>(std::bit_cast<uint32_t>(x[i]) & half::kAbsMask));
  }
  return static_cast<uint32_t>(largest);
}

// The power of two that brings a largest magnitude into [1, 4). Magnitudes below 2^-60, which no
// f16 scale can express, become smaller ones.
inline float NormalizingFactor(uint32_t amax_bits) {
  const uint32_t exponent = std::clamp<uint32_t>(amax_bits >> 23, 127 - 60, 253);
  return std::bit_cast<float>((254 - exponent) << 23);
}

// Nearest integer, ties to even, of |x| < 2^22: the adder drops what is behind the point.
// Vectorizes on every instruction set, which rint() does not.
inline float RoundToEven(float x) { return (x + 12582912.0f) - 12582912.0f; }

// The f16 of a scale. Finite for a finite scale (65504 at most), and away from zero where f16 is
// subnormal: quants that have to be clamped cost more than a scale that is a little too large.
inline uint16_t ScaleToF16(float scale) {
  constexpr float kLargest = 65504, kSmallestNormal = 0x1p-14f, kUnit = 0x1p-24f;
  float magnitude = std::min(std::abs(scale), kLargest);
  if (magnitude < kSmallestNormal) {
    const float units = magnitude / kUnit;
    const float floor = static_cast<float>(static_cast<int>(units));
    magnitude = (floor + (floor < units ? 1 : 0)) * kUnit;
  }
  return half::F32ToF16(std::copysign(magnitude, scale));
}

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_BLOCK_SCALE_H_
