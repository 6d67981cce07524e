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

#include "kernels/encodings/affine_fit.h"
#include "kernels/encodings/block_scale.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/iq4_grid.h"
#include "kernels/encodings/lanes.h"
#include "kernels/encodings/symmetric_fit.h"

namespace sluice {
namespace {

// Rounds of fitting d and dmin; a third one lowers the error by 0.1% of it and costs a quarter more
// time.
constexpr int kRounds = 2;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A scale as it is stored, and what that means for normalized values.
struct StoredScale {
  StoredScale(float exact, float factor)
      : bits(ScaleToF16(exact / factor)), value(half::F16ToF32(bits) * factor) {}
  uint16_t bits;
  float value;
};

// ---- value = d * scale * q - dmin * min: sub-blocks of kValues, four lanes at a time.

struct AffineChoice {
  Lanes scale = Splat(0), min = Splat(0);  // integers 0..max_scale
  Lanes error = Splat(kInfinity);
};

// Keeps scale and min if the squared error after decoding is below that of `best`.
template <int kValues>
void TryScaleAndMin(const Lanes (&x)[kValues], float d, float dmin, Lanes scale, Lanes min,
                    int max_quant, AffineChoice& best) {
  const Lanes step = scale * Splat(d), offset = min * Splat(dmin);
  const Lanes inverse = DivideOrZero(Splat(1), step);
  Lanes error = Splat(0);
  for (int v = 0; v < kValues; ++v) {
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
template <int kValues>
AffineChoice ChooseScaleAndMin(const Lanes (&x)[kValues], const AffineFit& fit, float d, float dmin,
                               const AffineFormat& format) {
  const float max_scale = static_cast<float>(format.max_scale);
  AffineChoice best;
  const Lanes nearest = RoundToEven(Clamp(DivideOrZero(fit.scale, Splat(d)), 0, max_scale));
  for (int a = -1; a <= 1; ++a) {
    const Lanes scale = Clamp(nearest + Splat(a), 0, max_scale);
    // At most 1.5 d, unless the block needs a d beyond the largest f16.
    const Lanes change = Clamp(scale * Splat(d) - fit.scale, -2 * d, 2 * d);
    const Lanes offset = change * fit.mean_quant - fit.offset;
    const Lanes min = RoundToEven(Clamp(DivideOrZero(offset, Splat(dmin)), 0, max_scale));
    for (int b = -1; b <= 1; ++b) {
      TryScaleAndMin(x, d, dmin, scale, Clamp(min + Splat(b), 0, max_scale), format.max_quant,
                     best);
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
template <int kValues>
void StoreAffine(const Lanes (&x)[kValues], const AffineChoice& choice, float d, float dmin,
                 int max_quant, uint8_t* scales, uint8_t* mins, uint8_t* quants, AffineSums& sums) {
  const Lanes inverse = DivideOrZero(Splat(1), choice.scale * Splat(d));
  const Lanes offset = choice.min * Splat(dmin);
  Lanes q1 = Splat(0), qq = Splat(0), qx = Splat(0), sum_x = Splat(0);
  for (int v = 0; v < kValues; ++v) {
    const Lanes q = RoundToEven(Clamp((x[v] + offset) * inverse, 0, max_quant));
    q1 += q;
    qq += q * q;
    qx += q * x[v];
    sum_x += x[v];
    for (int l = 0; l < kNumLanes; ++l) {
      quants[kValues * l + v] = static_cast<uint8_t>(static_cast<int>(q[l]));
    }
  }
  for (int l = 0; l < kNumLanes; ++l) {
    const double scale = choice.scale[l], min = choice.min[l];
    scales[l] = static_cast<uint8_t>(static_cast<int>(choice.scale[l]));
    mins[l] = static_cast<uint8_t>(static_cast<int>(choice.min[l]));
    sums.aa += scale * scale * qq[l];
    sums.ab += scale * min * q1[l];
    sums.bb += min * min * kValues;
    sums.ax += scale * qx[l];
    sums.bx += min * sum_x[l];
    sums.error += choice.error[l];
  }
}

// ---- value = d * scale * q, q from a grid: sub-blocks of kValues, four lanes at a time.

// Each format: which q there are and how they are stored (symmetric_fit.h), the integers that a
// scale can be, and the multiples of the scale that the value of largest magnitude is tried at.
// Multiples of both signs, in turn: only one end of the grid lies farther from zero, but with so
// few values it is chance which one fits.
struct Q6Format : UniformGrid<32> {
  static constexpr int kValues = 16;
  static constexpr float kLowestScale = -128, kHighestScale = 127;
  static constexpr int kEnds = 20;
  static float End(int i) {
    const float steps = 29 + 0.4f * (i / 2);
    return i % 2 == 0 ? -steps : steps - 1;
  }
};
struct Q3Format : UniformGrid<4> {
  static constexpr int kValues = 16;
  static constexpr float kLowestScale = -32, kHighestScale = 31;
  static constexpr int kEnds = 24;
  static float End(int i) {
    const float steps = 3 + 0.2f * (i / 2);
    return i % 2 == 0 ? -steps : steps - 1;
  }
};
struct Iq4Format : Iq4Grid {
  static constexpr int kValues = 32;
  static constexpr float kLowestScale = -32, kHighestScale = 31;
  static constexpr int kEnds = 16;
  static float End(int i) {
    const float beyond = -12 + 3.0f * (i / 2);
    return i % 2 == 0 ? -127 - beyond : 113 + beyond;
  }
};

template <class Format>
using SubBlocks = Lanes[Format::kValues];

template <class Format>
SymmetricFit FitSymmetric(const SubBlocks<Format>& x) {
  const Lanes unit = DivideOrZero(Splat(1), Extreme(x));
  SymmetricFit best;
  for (int i = 0; i < Format::kEnds; ++i) {
    TrySymmetric<Format>(x, Splat(Format::End(i)) * unit, best);
  }
  return best;
}

struct SymmetricChoice {
  Lanes scale = Splat(0);  // integers kLowestScale..kHighestScale
  Lanes error = Splat(kInfinity);
};

template <class Format>
SymmetricChoice ChooseScale(const SubBlocks<Format>& x, const SymmetricFit& fit, float d) {
  constexpr float kLowest = Format::kLowestScale, kHighest = Format::kHighestScale;
  SymmetricChoice best;
  const Lanes nearest = RoundToEven(Clamp(DivideOrZero(fit.scale, Splat(d)), kLowest, kHighest));
  for (int a = -1; a <= 1; ++a) {
    const Lanes scale = Clamp(nearest + Splat(a), kLowest, kHighest);
    const Lanes step = scale * Splat(d), inverse = DivideOrZero(Splat(1), step);
    Lanes error = Splat(0);
    for (int v = 0; v < Format::kValues; ++v) {
      const Lanes e = x[v] - step * Format::Nearest(x[v] * inverse);
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

template <class Format>
void StoreSymmetric(const SubBlocks<Format>& x, const SymmetricChoice& choice, float d,
                    int8_t* scales, uint8_t* quants, SymmetricSums& sums) {
  const Lanes inverse = DivideOrZero(Splat(1), choice.scale * Splat(d));
  Lanes qq = Splat(0), qx = Splat(0);
  for (int v = 0; v < Format::kValues; ++v) {
    const Lanes y = x[v] * inverse;
    const Lanes q = Format::Nearest(y);
    qq += q * q;
    qx += q * x[v];
    const LaneInts codes = Format::Codes(y);
    for (int l = 0; l < kNumLanes; ++l) {
      quants[Format::kValues * l + v] = static_cast<uint8_t>(codes[l]);
    }
  }
  for (int l = 0; l < kNumLanes; ++l) {
    const double scale = choice.scale[l];
    scales[l] = static_cast<int8_t>(static_cast<int>(choice.scale[l]));
    sums.aa += scale * scale * qq[l];
    sums.ax += scale * qx[l];
    sums.error += choice.error[l];
  }
}

template <class Format>
SymmetricSuperBlock QuantizeSymmetric(const float* x) {
  SymmetricSuperBlock best = {};
  const uint32_t amax_bits = LargestMagnitudeBits(x, kSuperBlockValues);
  if (amax_bits >= half::kInfBits) {
    best.d = kNaNScale;
    return best;
  }
  const float factor = NormalizingFactor(amax_bits);
  constexpr int kBatchValues = kNumLanes * Format::kValues;
  constexpr int kBatches = kSuperBlockValues / kBatchValues;
  SubBlocks<Format> lanes[kBatches];
  SymmetricFit fits[kBatches];
  float extreme = 0;  // the scale of largest magnitude; it becomes the integer farthest from 0
  for (int h = 0; h < kBatches; ++h) {
    LoadLanes(x + kBatchValues * h, factor, lanes[h]);
    fits[h] = FitSymmetric<Format>(lanes[h]);
    for (int l = 0; l < kNumLanes; ++l) {
      if (std::abs(fits[h].scale[l]) > std::abs(extreme)) extreme = fits[h].scale[l];
    }
  }
  float d_exact = extreme / Format::kLowestScale;
  double best_error = kInfinity;
  for (int round = 0; round < kRounds; ++round) {
    const StoredScale d(d_exact, factor);
    SymmetricSuperBlock block = {};
    block.d = d.bits;
    SymmetricSums sums;
    for (int h = 0; h < kBatches; ++h) {
      const SymmetricChoice choice = ChooseScale<Format>(lanes[h], fits[h], d.value);
      StoreSymmetric<Format>(lanes[h], choice, d.value, block.scales + kNumLanes * h,
                             block.quants + kBatchValues * h, sums);
    }
    if (!(sums.error < best_error)) break;
    best_error = sums.error;
    best = block;
    if (sums.aa > 0) d_exact = static_cast<float>(sums.ax / sums.aa);
  }
  return best;
}

template <int kValues>
AffineSuperBlock QuantizeAffineBy(const float* x, const AffineFormat& format) {
  AffineSuperBlock best = {};
  const uint32_t amax_bits = LargestMagnitudeBits(x, kSuperBlockValues);
  if (amax_bits >= half::kInfBits) {
    best.d = best.dmin = kNaNScale;
    return best;
  }
  const float factor = NormalizingFactor(amax_bits);
  constexpr int kBatchValues = kNumLanes * kValues;
  constexpr int kBatches = kSuperBlockValues / kBatchValues;
  Lanes lanes[kBatches][kValues];
  AffineFit fits[kBatches];
  float largest_scale = 0, largest_min = 0;
  for (int h = 0; h < kBatches; ++h) {
    LoadLanes(x + kBatchValues * h, factor, lanes[h]);
    fits[h] = FitAffine<OffsetSign::kNotPositive>(lanes[h], format.max_quant);
    for (int l = 0; l < kNumLanes; ++l) {
      largest_scale = std::max(largest_scale, fits[h].scale[l]);
      largest_min = std::max(largest_min, -fits[h].offset[l]);
    }
  }
  float d_exact = largest_scale / format.max_scale, dmin_exact = largest_min / format.max_scale;
  double best_error = kInfinity;
  for (int round = 0; round < kRounds; ++round) {
    const StoredScale d(d_exact, factor), dmin(dmin_exact, factor);
    AffineSuperBlock block = {};
    block.d = d.bits;
    block.dmin = dmin.bits;
    AffineSums sums;
    for (int h = 0; h < kBatches; ++h) {
      const AffineChoice choice = ChooseScaleAndMin(lanes[h], fits[h], d.value, dmin.value, format);
      StoreAffine(lanes[h], choice, d.value, dmin.value, format.max_quant,
                  block.scales + kNumLanes * h, block.mins + kNumLanes * h,
                  block.quants + kBatchValues * h, sums);
    }
    if (!(sums.error < best_error)) break;
    best_error = sums.error;
    best = block;
    sums.Solve(d_exact, dmin_exact);
  }
  return best;
}

}  // namespace

AffineSuperBlock QuantizeAffine(const float* x, const AffineFormat& format) {
  return format.sub_block_values == 16 ? QuantizeAffineBy<16>(x, format)
                                       : QuantizeAffineBy<32>(x, format);
}

SymmetricSuperBlock QuantizeQ6(const float* x) { return QuantizeSymmetric<Q6Format>(x); }
SymmetricSuperBlock QuantizeQ3(const float* x) { return QuantizeSymmetric<Q3Format>(x); }
SymmetricSuperBlock QuantizeIq4(const float* x) { return QuantizeSymmetric<Iq4Format>(x); }

}  // namespace sluice
