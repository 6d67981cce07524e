// Operations on one activation row in scalar code: quantizing, RMS norm, RoPE, exp.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/kernels_scalar.h"
#include "kernels/cpu/scalar_math.h"
#include "kernels/encodings/activation_layout.h"

namespace sluice::scalar {
namespace {

// Quantizes a block of `n` values to int8 and returns its scale.
float QuantizeBlock(const float* x, int64_t n, int8_t* quants) {
  float amax = 0.0f;
  bool finite = true;
  for (int64_t i = 0; i < n; ++i) {
    finite = finite && std::isfinite(x[i]);
    amax = std::max(amax, std::fabs(x[i]));
  }
  std::fill_n(quants, n, int8_t{0});
  if (!finite) return std::numeric_limits<float>::quiet_NaN();
  if (amax < 1e-30f) return 0.0f;
  const float inverse = 127.0f / amax;
  for (int64_t i = 0; i < n; ++i) {
    const int q = static_cast<int>(std::nearbyint(x[i] * inverse));
    quants[i] = static_cast<int8_t>(std::clamp(q, -127, 127));
  }
  return amax / 127.0f;
}

int32_t Sum(const int8_t* quants, int n) {
  int32_t sum = 0;
  for (int i = 0; i < n; ++i) sum += quants[i];
  return sum;
}

}  // namespace

void QuantizeBlock32(const float* x, int64_t k, void* row) {
  auto* groups = static_cast<ActivationGroup32*>(row);
  const int64_t num_groups = (k + 255) / 256;
  std::memset(row, 0, num_groups * sizeof(ActivationGroup32));
  for (int64_t begin = 0; begin < k; begin += 32) {
    ActivationGroup32& group = groups[begin / 256];
    const int block = static_cast<int>(begin % 256 / 32);
    int8_t* quants = group.quants + 32 * block;
    group.scales[block] = QuantizeBlock(x + begin, std::min<int64_t>(32, k - begin), quants);
    group.minus_sums[block] = -Sum(quants, 32);
    group.minus_sums16[2 * block] = static_cast<int16_t>(-Sum(quants, 16));
    group.minus_sums16[2 * block + 1] = static_cast<int16_t>(-Sum(quants + 16, 16));
  }
}

void QuantizeBlock256(const float* x, int64_t k, void* row) {
  auto* groups = static_cast<ActivationGroup256*>(row);
  const int64_t num_groups = (k + 255) / 256;
  std::memset(row, 0, num_groups * sizeof(ActivationGroup256));
  for (int64_t begin = 0; begin < k; begin += 256) {
    ActivationGroup256& group = groups[begin / 256];
    group.scale = QuantizeBlock(x + begin, std::min<int64_t>(256, k - begin), group.quants);
    for (int i = 0; i < 16; ++i) {
      group.sums16[i / 4 * 4 + kSumPlace[i % 4]] =
          static_cast<int16_t>(Sum(group.quants + 16 * i, 16));
    }
    for (int i = 0; i < 8; ++i) {
      group.sums32[i / 4 * 4 + kSumPlace[i % 4]] =
          static_cast<int16_t>(Sum(group.quants + 32 * i, 32));
    }
  }
}

void RmsNorm(const float* x, int64_t n, const float* weight, float eps, float* out) {
  Sum16 squares;
  for (int64_t i = 0; i < n; ++i) squares.lane(i) = std::fma(x[i], x[i], squares.lane(i));
  const float scale = 1.0f / std::sqrt(squares.Total() / static_cast<float>(n) + eps);
  for (int64_t i = 0; i < n; ++i) out[i] = (x[i] * scale) * weight[i];
}

void Rope(float* x, int64_t half, const float* cos_sin) {
  for (int64_t i = 0; i < half; ++i) {
    const float x1 = x[i];
    const float x2 = x[i + half];
    const float c = cos_sin[i];
    const float s = cos_sin[i + half];
    x[i] = std::fma(x1, c, -(x2 * s));
    x[i + half] = std::fma(x2, c, x1 * s);
  }
}

void ExpRow(const float* x, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = Exp(x[i]);
}

}  // namespace sluice::scalar
