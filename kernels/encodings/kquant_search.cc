// Searches k-quant super-blocks in two stages: first each sub-block on its own gets the scale (and
// min) that least squares finds best among several ways to round; then, with d and dmin as f16, the
// integers around those scales are tried with the error that decoding will have, and d and dmin are
// fitted to the quants that came out, and tried again.
//
// Blocks are scaled by a power of two first, so that no square overflows or vanishes.
#include "kernels/encodings/kquant_search.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/encodings/block_scale.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/lanes.h"
#include "kernels/encodings/symmetric_fit.h"

namespace sluice {
namespace {

// Rounds of fitting d and dmin; a third one lowers the error by 0.1% of it and costs a quarter more
// time.
constexpr int kRounds = 2;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The power of two that brings a largest magnitude into [1, 4). Magnitudes below 2^-60, which no
// f16 scale can express, become smaller ones.
float NormalizingFactor(uint32_t amax_bits) {
  const uint32_t exponent = std::clamp<uint32_t>(amax_bits >> 23, 127 - 60, 253);
  return std::bit_cast<float>((254 - exponent) << 23);
}

// A scale as it is stored, and what that means for normalized values.
struct StoredScale {
  StoredScale(float exact, float factor)
      : bits(ScaleToF16(exact / factor)), value(half::F16ToF32(bits) * factor) {}
  uint16_t bits;
  float value;
};

void StoreQuants(Lanes q, int offset, int lane_stride, uint8_t* quants) {
  for (int l = 0; l < kNumLanes; ++l) {
    quants[lane_stride * l] = static_cast<uint8_t>(static_cast<int>(q[l]) + offset);
  }
}

// ---- value = d * scale * q - dmin * min: 8 sub-blocks of 32, as two times four lanes.

constexpr int kAffineValues = 32;
using AffineLanes = Lanes[kAffineValues];

struct AffineFit {
  Lanes scale = Splat(0), offset = Splat(0);  // x is about scale * q + offset, offset <= 0
  Lanes mean_quant = Splat(0);
  Lanes gain = Splat(0);  // how much the squared error is below sum(x x)
};

// Quantizes x to q = round(x * inverse + shift), solves for scale and offset, keeps what is better.
void TryAffine(const AffineLanes& x, Lanes sum_x, Lanes inverse, Lanes shift, int max_quant,
               AffineFit& best) {
  Lanes q1 = Splat(0), qq = Splat(0), qx = Splat(0);
  for (int v = 0; v < kAffineValues; ++v) {
    const Lanes q = RoundToEven(Clamp(x[v] * inverse + shift, 0, max_quant));
    q1 += q;
    qq += q * q;
    qx += q * x[v];
  }
  const Lanes n = Splat(kAffineValues);
  Lanes scale = DivideOrZero(n * qx - q1 * sum_x, n * qq - q1 * q1);
  Lanes offset = (sum_x - scale * q1) / n;
  const LaneInts positive = offset > Splat(0);
  scale = positive ? DivideOrZero(qx, qq) : scale;
  offset = positive ? Splat(0) : offset;
  const Lanes gain = scale * qx + offset * sum_x;
  const LaneInts better = (gain > best.gain) & (scale > Splat(0));
  best.scale = better ? scale : best.scale;
  best.offset = better ? offset : best.offset;
  best.mean_quant = better ? q1 / n : best.mean_quant;
  best.gain = better ? gain : best.gain;
}

// Tries steps from range / (max_quant + 0.6) up to range / (max_quant - 2): more steps than that,
// or finer, win less than the second stage does with the same time.
AffineFit FitAffine(const AffineLanes& x, int max_quant) {
  constexpr int kSteps = 14;
  constexpr float kFirst = -2, kIncrement = 0.2f;
  Lanes lowest = Splat(0), highest = x[0], sum_x = Splat(0);
  for (int v = 0; v < kAffineValues; ++v) {
    lowest = Min(lowest, x[v]);
    highest = Max(highest, x[v]);
    sum_x += x[v];
  }
  AffineFit best;
  best.offset = Min(sum_x / Splat(kAffineValues), Splat(0));
  best.gain = best.offset * sum_x;
  for (int i = 0; i < kSteps; ++i) {
    const Lanes inverse =
        DivideOrZero(Splat(max_quant + kFirst + kIncrement * i), highest - lowest);
    TryAffine(x, sum_x, inverse, -lowest * inverse, max_quant, best);
  }
  const Lanes inverse = DivideOrZero(Splat(1), best.scale);
  TryAffine(x, sum_x, inverse, -best.offset * inverse, max_quant, best);
  return best;
}

struct AffineChoice {
  Lanes scale = Splat(0), min = Splat(0);  // integers 0..63
  Lanes error = Splat(kInfinity);
};

// Keeps scale and min if the squared error after decoding is below that of `best`.
void TryScaleAndMin(const AffineLanes& x, float d, float dmin, Lanes scale, Lanes min,
                    int max_quant, AffineChoice& best) {
  const Lanes step = scale * Splat(d), offset = min * Splat(dmin);
  const Lanes inverse = DivideOrZero(Splat(1), step);
  Lanes error = Splat(0);
  for (int v = 0; v < kAffineValues; ++v) {
    const Lanes y = x[v] + offset;
    const Lanes e = y - step * RoundToEven(Clamp(y * inverse, 0, max_quant));
    error += e * e;
  }
  const LaneInts better = error < best.error;
  best.scale = better ? scale : best.scale;
  best.min = better ? min : best.min;
  best.error = better ? error : best.error;
}

// Tries the three scales around the fit and, for each, the three mins around the one that keeps the
// mean of the decoded values in place.
AffineChoice ChooseScaleAndMin(const AffineLanes& x, const AffineFit& fit, float d, float dmin,
                               int max_quant) {
  AffineChoice best;
  const Lanes nearest = RoundToEven(Clamp(DivideOrZero(fit.scale, Splat(d)), 0, 63));
  for (int a = -1; a <= 1; ++a) {
    const Lanes scale = Clamp(nearest + Splat(a), 0, 63);
    // At most 1.5 d, unless the block needs a d beyond the largest f16.
    const Lanes change = Clamp(scale * Splat(d) - fit.scale, -2 * d, 2 * d);
    const Lanes offset = change * fit.mean_quant - fit.offset;
    const Lanes min = RoundToEven(Clamp(DivideOrZero(offset, Splat(dmin)), 0, 63));
    for (int b = -1; b <= 1; ++b) {
      TryScaleAndMin(x, d, dmin, scale, Clamp(min + Splat(b), 0, 63), max_quant, best);
    }
  }
  return best;
}

// Least squares for d and dmin over a super-block, given its integers: sums of a a, a b, ... where
// x is about d * a - dmin * b, a = scale * q, b = min.
struct AffineSums {
  double aa = 0, ab = 0, bb = 0, ax = 0, bx = 0, error = 0;

  void Solve(float& d, float& dmin) const {
    const double det = aa * bb - ab * ab;
    if (det > 0) {
      d = std::max(static_cast<float>((ax * bb - bx * ab) / det), 0.0f);
      dmin = std::max(static_cast<float>((ax * ab - bx * aa) / det), 0.0f);
    } else if (aa > 0) {
      d = std::max(static_cast<float>(ax / aa), 0.0f);
    }
  }
};

// Writes integers and quants of four sub-blocks and adds their sums.
void StoreAffine(const AffineLanes& x, const AffineChoice& choice, float d, float dmin,
                 int max_quant, uint8_t* scales, uint8_t* mins, uint8_t* quants, AffineSums& sums) {
  const Lanes inverse = DivideOrZero(Splat(1), choice.scale * Splat(d));
  const Lanes offset = choice.min * Splat(dmin);
  Lanes q1 = Splat(0), qq = Splat(0), qx = Splat(0), sum_x = Splat(0);
  for (int v = 0; v < kAffineValues; ++v) {
    const Lanes q = RoundToEven(Clamp((x[v] + offset) * inverse, 0, max_quant));
    q1 += q;
    qq += q * q;
    qx += q * x[v];
    sum_x += x[v];
    StoreQuants(q, 0, kAffineValues, quants + v);
  }
  for (int l = 0; l < kNumLanes; ++l) {
    const double scale = choice.scale[l], min = choice.min[l];
    scales[l] = static_cast<uint8_t>(static_cast<int>(choice.scale[l]));
    mins[l] = static_cast<uint8_t>(static_cast<int>(choice.min[l]));
    sums.aa += scale * scale * qq[l];
    sums.ab += scale * min * q1[l];
    sums.bb += min * min * kAffineValues;
    sums.ax += scale * qx[l];
    sums.bx += min * sum_x[l];
    sums.error += choice.error[l];
  }
}

// ---- value = d * scale * (q - 32): 16 sub-blocks of 16, as four times four lanes.

constexpr int kSymmetricValues = 16;
constexpr int kSymmetricHalf = 32;  // quants go from -32 to 31
using SymmetricLanes = Lanes[kSymmetricValues];

// Steps from extreme / 33 to extreme / 29, of both signs: only one of them has the quant -32 at the
// extreme, but with 16 values it is chance which one fits.
SymmetricFit FitSymmetric(const SymmetricLanes& x) {
  constexpr int kSteps = 10;
  constexpr float kFirst = -3, kIncrement = 0.4f;
  const Lanes unit = DivideOrZero(Splat(1), Extreme(x));
  SymmetricFit best;
  for (int i = 0; i < kSteps; ++i) {
    const float steps = kSymmetricHalf + kFirst + kIncrement * i;
    TrySymmetric(x, Splat(-steps) * unit, kSymmetricHalf, best);
    TrySymmetric(x, Splat(steps - 1) * unit, kSymmetricHalf, best);
  }
  return best;
}

struct SymmetricChoice {
  Lanes scale = Splat(0);  // integers -128..127
  Lanes error = Splat(kInfinity);
};

SymmetricChoice ChooseScale(const SymmetricLanes& x, const SymmetricFit& fit, float d) {
  SymmetricChoice best;
  const Lanes nearest = RoundToEven(Clamp(DivideOrZero(fit.scale, Splat(d)), -128, 127));
  for (int a = -1; a <= 1; ++a) {
    const Lanes scale = Clamp(nearest + Splat(a), -128, 127);
    const Lanes step = scale * Splat(d), inverse = DivideOrZero(Splat(1), step);
    Lanes error = Splat(0);
    for (int v = 0; v < kSymmetricValues; ++v) {
      const Lanes q = RoundToEven(Clamp(x[v] * inverse, -kSymmetricHalf, kSymmetricHalf - 1));
      const Lanes e = x[v] - step * q;
      error += e * e;
    }
    const LaneInts better = error < best.error;
    best.scale = better ? scale : best.scale;
    best.error = better ? error : best.error;
  }
  return best;
}

// Least squares for d: x is about d * a, a = scale * q.
struct SymmetricSums {
  double aa = 0, ax = 0, error = 0;
};

void StoreSymmetric(const SymmetricLanes& x, const SymmetricChoice& choice, float d, int8_t* scales,
                    uint8_t* quants, SymmetricSums& sums) {
  const Lanes inverse = DivideOrZero(Splat(1), choice.scale * Splat(d));
  Lanes qq = Splat(0), qx = Splat(0);
  for (int v = 0; v < kSymmetricValues; ++v) {
    const Lanes q = RoundToEven(Clamp(x[v] * inverse, -kSymmetricHalf, kSymmetricHalf - 1));
    qq += q * q;
    qx += q * x[v];
    StoreQuants(q, kSymmetricHalf, kSymmetricValues, quants + v);
  }
  for (int l = 0; l < kNumLanes; ++l) {
    const double scale = choice.scale[l];
    scales[l] = static_cast<int8_t>(static_cast<int>(choice.scale[l]));
    sums.aa += scale * scale * qq[l];
    sums.ax += scale * qx[l];
    sums.error += choice.error[l];
  }
}

}  // namespace

AffineSuperBlock QuantizeAffine(const float* x, int max_quant) {
  AffineSuperBlock best = {};
  const uint32_t amax_bits = LargestMagnitudeBits(x, kSuperBlockValues);
  if (amax_bits >= half::kInfBits) {
    best.d = best.dmin = kNaNScale;
    return best;
  }
  const float factor = NormalizingFactor(amax_bits);
  AffineLanes lanes[2];
  AffineFit fits[2];
  float largest_scale = 0, largest_min = 0;
  for (int h = 0; h < 2; ++h) {
    LoadLanes(x + 128 * h, factor, lanes[h]);
    fits[h] = FitAffine(lanes[h], max_quant);
    for (int l = 0; l < kNumLanes; ++l) {
      largest_scale = std::max(largest_scale, fits[h].scale[l]);
      largest_min = std::max(largest_min, -fits[h].offset[l]);
    }
  }
  float d_exact = largest_scale / 63, dmin_exact = largest_min / 63;
  double best_error = kInfinity;
  for (int round = 0; round < kRounds; ++round) {
    const StoredScale d(d_exact, factor), dmin(dmin_exact, factor);
    AffineSuperBlock block = {};
    block.d = d.bits;
    block.dmin = dmin.bits;
    AffineSums sums;
    for (int h = 0; h < 2; ++h) {
      const AffineChoice choice =
          ChooseScaleAndMin(lanes[h], fits[h], d.value, dmin.value, max_quant);
      StoreAffine(lanes[h], choice, d.value, dmin.value, max_quant, block.scales + 4 * h,
                  block.mins + 4 * h, block.quants + 128 * h, sums);
    }
    if (!(sums.error < best_error)) break;
    best_error = sums.error;
    best = block;
    sums.Solve(d_exact, dmin_exact);
  }
  return best;
}

SymmetricSuperBlock QuantizeSymmetric(const float* x) {
  SymmetricSuperBlock best = {};
  const uint32_t amax_bits = LargestMagnitudeBits(x, kSuperBlockValues);
  if (amax_bits >= half::kInfBits) {
    best.d = kNaNScale;
    return best;
  }
  const float factor = NormalizingFactor(amax_bits);
  SymmetricLanes lanes[4];
  SymmetricFit fits[4];
  float extreme =
      0;  // the scale of largest magnitude; it becomes -128, the integer farthest from 0
  for (int h = 0; h < 4; ++h) {
    LoadLanes(x + 64 * h, factor, lanes[h]);
    fits[h] = FitSymmetric(lanes[h]);
    for (int l = 0; l < kNumLanes; ++l) {
      if (std::abs(fits[h].scale[l]) > std::abs(extreme)) extreme = fits[h].scale[l];
    }
  }
  float d_exact = extreme / -128;
  double best_error = kInfinity;
  for (int round = 0; round < kRounds; ++round) {
    const StoredScale d(d_exact, factor);
    SymmetricSuperBlock block = {};
    block.d = d.bits;
    SymmetricSums sums;
    for (int h = 0; h < 4; ++h) {
      const SymmetricChoice choice = ChooseScale(lanes[h], fits[h], d.value);
      StoreSymmetric(lanes[h], choice, d.value, block.scales + 4 * h, block.quants + 64 * h, sums);
    }
    if (!(sums.error < best_error)) break;
    best_error = sums.error;
    best = block;
    if (sums.aa > 0) d_exact = static_cast<float>(sums.ax / sums.aa);
  }
  return best;
}

}  // namespace sluice
