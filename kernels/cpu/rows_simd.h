// Operations on one activation row: quantizing, RMS norm, RoPE, exp.
#ifndef SLUICE_KERNELS_CPU_ROWS_SIMD_H_
#define SLUICE_KERNELS_CPU_ROWS_SIMD_H_

#include "kernels/cpu/math_simd.h"
#include "kernels/cpu/simd.h"
#include "kernels/encodings/activation_layout.h"

namespace sluice::SLUICE_SIMD_NAMESPACE {

// How many of 16 values from `begin` on lie below `end`.
SLUICE_INLINE int LanesLeft(int64_t begin, int64_t end) {
  const int64_t left = end - begin;
  return left <= 0 ? 0 : left < 16 ? static_cast<int>(left) : 16;
}

SLUICE_INLINE F32 LoadUpTo(const float* x, int64_t begin, int64_t end) {
  const int lanes = LanesLeft(begin, end);
  if (lanes == 0) return ZeroF();
  return lanes == 16 ? LoadF(x + begin) : LoadFirst(x + begin, lanes);
}

// Quantizes 16 * kVectors values (those from n on count as zeros) and returns the scale; sums[i] is
// the sum of the quants of vector i.
template <int kVectors>
SLUICE_INLINE float QuantizeBlock(const float* x, int64_t n, int8_t* quants, int32_t* sums) {
  // As integers, magnitudes of floats are in their order, and NaN and infinity above all others.
  I32 max = ZeroI();
  for (int i = 0; i < kVectors; ++i) {
    max = MaxI(max, And(AsInt(LoadUpTo(x, 16 * i, n)), SetI(INT32_MAX)));
  }
  const int32_t amax_bits = ReduceMaxI(max);
  float amax;
  __builtin_memcpy(&amax, &amax_bits, 4);
  const bool finite = amax_bits < 0x7F800000;
  if (!finite || amax < 1e-30f) {
    __builtin_memset(quants, 0, 16 * kVectors);
    for (int i = 0; i < kVectors; ++i) sums[i] = 0;
    return finite ? 0.0f : __builtin_nanf("");
  }
  const F32 inverse = SetF(127.0f / amax);
  for (int i = 0; i < kVectors; ++i) {
    I32 q = ToInt(Mul(LoadUpTo(x, 16 * i, n), inverse));
    q = MaxI(SetI(-127), MinI(SetI(127), q));
    StoreBytes(q, quants + 16 * i);
    sums[i] = ReduceAddI(q);
  }
  return amax / 127.0f;
}

inline void QuantizeBlock32(const float* x, int64_t k, void* row) {
  auto* group = static_cast<ActivationGroup32*>(row);
  for (int64_t begin = 0; begin < k; begin += 256, ++group) {
    for (int block = 0; block < 8; ++block) {
      const int64_t at = begin + 32 * block;
      int32_t sums[2];
      group->scales[block] = QuantizeBlock<2>(x + at, k - at, group->quants + 32 * block, sums);
      group->minus_sums[block] = -(sums[0] + sums[1]);
      for (int i = 0; i < 2; ++i) {
        group->minus_sums16[2 * block + i] = static_cast<int16_t>(-sums[i]);
      }
    }
  }
}

inline void QuantizeBlock256(const float* x, int64_t k, void* row) {
  auto* group = static_cast<ActivationGroup256*>(row);
  for (int64_t begin = 0; begin < k; begin += 256, ++group) {
    int32_t sums[16];
    group->scale = QuantizeBlock<16>(x + begin, k - begin, group->quants, sums);
    for (int i = 0; i < 16; ++i) {
      group->sums16[i / 4 * 4 + kSumPlace[i % 4]] = static_cast<int16_t>(sums[i]);
    }
    for (int i = 0; i < 8; ++i) {
      group->sums32[i / 4 * 4 + kSumPlace[i % 4]] =
          static_cast<int16_t>(sums[2 * i] + sums[2 * i + 1]);
    }
    for (int32_t& unused : group->unused) unused = 0;
  }
}

inline void RmsNorm(const float* x, int64_t n, const float* weight, float eps, float* out) {
  F32 squares = ZeroF();
  for (int64_t i = 0; i < n; i += 16) {
    const F32 v = LoadUpTo(x, i, n);
    squares = Fma(v, v, squares);
  }
  const float mean = ReduceSum(squares) / static_cast<float>(n);
  const F32 scale = SetF(1.0f / __builtin_sqrtf(mean + eps));
  for (int64_t i = 0; i < n; i += 16) {
    const F32 y = Mul(Mul(LoadUpTo(x, i, n), scale), LoadUpTo(weight, i, n));
    StoreFirst(y, out + i, LanesLeft(i, n));
  }
}

inline void Rope(float* x, int64_t half, const float* cos_sin) {
  for (int64_t i = 0; i < half; i += 16) {
    const int lanes = LanesLeft(i, half);
    const F32 x1 = LoadFirst(x + i, lanes);
    const F32 x2 = LoadFirst(x + half + i, lanes);
    const F32 c = LoadFirst(cos_sin + i, lanes);
    const F32 s = LoadFirst(cos_sin + half + i, lanes);
    const F32 minus = AsFloat(AddI(AsInt(Mul(x2, s)), SetI(INT32_MIN)));
    StoreFirst(Fma(x1, c, minus), x + i, lanes);
    StoreFirst(Fma(x2, c, Mul(x1, s)), x + half + i, lanes);
  }
}

inline void ExpRow(const float* x, int64_t n, float* y) {
  for (int64_t i = 0; i < n; i += 16) {
    StoreFirst(Exp(LoadUpTo(x, i, n)), y + i, LanesLeft(i, n));
  }
}

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_KERNELS_CPU_ROWS_SIMD_H_
