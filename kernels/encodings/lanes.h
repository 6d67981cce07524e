// Four floats side by side, one of each of four blocks, for searches that treat blocks alike.
//
// A lane never meets another, so a sum over a block is a chain in the order of its values on every
// instruction set. 128 bits are what every target has without special flags.
#ifndef SLUICE_KERNELS_ENCODINGS_LANES_H_
#define SLUICE_KERNELS_ENCODINGS_LANES_H_

namespace sluice {

typedef float Lanes __attribute__((vector_size(16)));
typedef int LaneInts __attribute__((vector_size(16)));  // comparisons: -1 where true, 0 elsewhere
inline constexpr int kNumLanes = 4;

inline Lanes Splat(float x) { return Lanes{x, x, x, x}; }
inline Lanes Min(Lanes a, Lanes b) { return a < b ? a : b; }
inline Lanes Max(Lanes a, Lanes b) { return a > b ? a : b; }
inline Lanes Clamp(Lanes x, float lowest, float highest) {
  return Min(Max(x, Splat(lowest)), Splat(highest));
}

// As in block_scale.h: nearest integer, ties to even, of |x| < 2^22.
inline Lanes RoundToEven(Lanes x) { return (x + Splat(12582912.0f)) - Splat(12582912.0f); }

// a / b, 0 where b is 0.
inline Lanes DivideOrZero(Lanes a, Lanes b) {
  const LaneInts zero = b == Splat(0);
  return zero ? Splat(0) : a / (zero ? Splat(1) : b);
}

// lanes[v] = factor * value v of each of four blocks of kValues values that follow each other at
// `x`.
template <int kValues>
void LoadLanes(const float* x, float factor, Lanes (&lanes)[kValues]) {
  for (int v = 0; v < kValues; ++v) {
    lanes[v] = Lanes{x[v], x[kValues + v], x[2 * kValues + v], x[3 * kValues + v]} * Splat(factor);
  }
}

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_LANES_H_
