// exp, silu and the 16-lane sum in scalar code: their definition (docs/arithmetic.md).
// Not for files of one instruction set: what is inline here may only be compiled for every CPU.
#ifndef SLUICE_KERNELS_CPU_SCALAR_MATH_H_
#define SLUICE_KERNELS_CPU_SCALAR_MATH_H_

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/exp_constants.h"

namespace sluice::scalar {

inline float Exp(float x) {
  if (x != x) return x;
  if (x < kExpMin) return 0.0f;
  if (x > kExpMax) x = kExpMax;
  const float n = std::nearbyint(x * kLog2E);
  float r = std::fma(n, kMinusLn2High, x);
  r = std::fma(n, kMinusLn2Low, r);
  float p = kExp6;
  p = std::fma(p, r, kExp5);
  p = std::fma(p, r, kExp4);
  p = std::fma(p, r, kExp3);
  p = std::fma(p, r, kExp2);
  p = std::fma(p, r, 1.0f);
  p = std::fma(p, r, 1.0f);
  const uint32_t exponent = static_cast<uint32_t>(static_cast<int32_t>(n)) << 23;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(p) + exponent);
}

inline float Silu(float x) { return x / (1.0f + Exp(-x)); }

// 16 lanes, summed by the tree.
class Sum16 {
 public:
  float& lane(int64_t i) { return lanes_[i % 16]; }
  float Total() const {
    float sums[16];
    for (int i = 0; i < 16; ++i) sums[i] = lanes_[i];
    for (int step = 8; step > 0; step /= 2) {
      for (int i = 0; i < step; ++i) sums[i] = sums[i] + sums[i + step];
    }
    return sums[0];
  }

 private:
  float lanes_[16] = {};
};

}  // namespace sluice::scalar

#endif  // SLUICE_KERNELS_CPU_SCALAR_MATH_H_
