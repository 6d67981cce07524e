// Least-squares scales of blocks whose values are scale * q, q from a grid; four at a time.
#ifndef SLUICE_KERNELS_ENCODINGS_SYMMETRIC_FIT_H_
#define SLUICE_KERNELS_ENCODINGS_SYMMETRIC_FIT_H_

#include "kernels/encodings/lanes.h"

namespace sluice {

// A grid says which q there are: Nearest(y) is the one next to each lane's y, Codes(y) the quants
// that stand for it.
//
// All integers from -kHalf to kHalf - 1.
template <int kHalf>
struct UniformGrid {
  static Lanes Nearest(Lanes y) { return RoundToEven(Clamp(y, -kHalf, kHalf - 1)); }
  static LaneInts Codes(Lanes y) {
    return __builtin_convertvector(Nearest(y) + Splat(kHalf), LaneInts);
  }
};

// `gain` is how much the squared error is below that of scale 0.
struct SymmetricFit {
  Lanes scale = Splat(0), gain = Splat(0);
};

// The value of largest magnitude, with its sign.
template <int kValues>
Lanes Extreme(const Lanes (&x)[kValues]) {
  Lanes lowest = x[0], highest = x[0];
  for (int v = 1; v < kValues; ++v) {
    lowest = Min(lowest, x[v]);
    highest = Max(highest, x[v]);
  }
  return highest > -lowest ? highest : lowest;
}

// Quantizes x to the q nearest to x * inverse. For given q the best scale is sum(q x) / sum(q q),
// its gain sum(q x) * scale. Keeps it where it is better than `best`.
template <class Grid, int kValues>
void TrySymmetric(const Lanes (&x)[kValues], Lanes inverse, SymmetricFit& best) {
  Lanes qq = Splat(0), qx = Splat(0);
  for (int v = 0; v < kValues; ++v) {
    const Lanes q = Grid::Nearest(x[v] * inverse);
    qq += q * q;
    qx += q * x[v];
  }
  const Lanes scale = DivideOrZero(qx, qq);
  const Lanes gain = scale * qx;
  const LaneInts better = gain > best.gain;
  best.scale = better ? scale : best.scale;
  best.gain = better ? gain : best.gain;
}

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_SYMMETRIC_FIT_H_
