// Least-squares scales and offsets of blocks whose values are scale * q + offset, q from 0 to
// max_quant; four at a time.
#ifndef SLUICE_KERNELS_ENCODINGS_AFFINE_FIT_H_
#define SLUICE_KERNELS_ENCODINGS_AFFINE_FIT_H_

#include "kernels/encodings/lanes.h"

namespace sluice {

struct AffineFit {
  Lanes scale = Splat(0), offset = Splat(0);
  Lanes mean_quant = Splat(0);
  Lanes gain = Splat(0);  // how much the squared error is below sum(x x)
};

// Whether a format can store an offset above zero: k-quants have minima that are subtracted.
enum class OffsetSign { kNotPositive, kAny };

// Quantizes x to q = round(x * inverse + shift), solves for scale and offset, keeps what is better.
template <OffsetSign kSign, int kValues>
void TryAffine(const Lanes (&x)[kValues], Lanes sum_x, Lanes inverse, Lanes shift, int max_quant,
               AffineFit& best) {
  Lanes q1 = Splat(0), qq = Splat(0), qx = Splat(0);
  for (int v = 0; v < kValues; ++v) {
    const Lanes q = RoundToEven(Clamp(x[v] * inverse + shift, 0, max_quant));
    q1 += q;
    qq += q * q;
    qx += q * x[v];
  }
  const Lanes n = Splat(kValues);
  Lanes scale = DivideOrZero(n * qx - q1 * sum_x, n * qq - q1 * q1);
  Lanes offset = (sum_x - scale * q1) / n;
  if constexpr (kSign == OffsetSign::kNotPositive) {
    const LaneInts positive = offset > Splat(0);
    scale = positive ? DivideOrZero(qx, qq) : scale;
    offset = positive ? Splat(0) : offset;
  }
  const Lanes gain = scale * qx + offset * sum_x;
  const LaneInts better = (gain > best.gain) & (scale > Splat(0));
  best.scale = better ? scale : best.scale;
  best.offset = better ? offset : best.offset;
  best.mean_quant = better ? q1 / n : best.mean_quant;
  best.gain = better ? gain : best.gain;
}

// Tries steps from range / (max_quant + 0.6) up to range / (max_quant - 2): more steps than that,
// or finer, win less than the second stage of a k-quant does with the same time.
template <OffsetSign kSign, int kValues>
AffineFit FitAffine(const Lanes (&x)[kValues], int max_quant) {
  constexpr int kSteps = 14;
  constexpr float kFirst = -2, kIncrement = 0.2f;
  Lanes lowest = kSign == OffsetSign::kAny ? x[0] : Splat(0), highest = x[0], sum_x = Splat(0);
  for (int v = 0; v < kValues; ++v) {
    lowest = Min(lowest, x[v]);
    highest = Max(highest, x[v]);
    sum_x += x[v];
  }
  AffineFit best;
  best.offset = sum_x / Splat(kValues);
  if constexpr (kSign == OffsetSign::kNotPositive) best.offset = Min(best.offset, Splat(0));
  best.gain = best.offset * sum_x;
  for (int i = 0; i < kSteps; ++i) {
    const Lanes inverse =
        DivideOrZero(Splat(max_quant + kFirst + kIncrement * i), highest - lowest);
    TryAffine<kSign>(x, sum_x, inverse, -lowest * inverse, max_quant, best);
  }
  const Lanes inverse = DivideOrZero(Splat(1), best.scale);
  TryAffine<kSign>(x, sum_x, inverse, -best.offset * inverse, max_quant, best);
  return best;
}

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_AFFINE_FIT_H_
