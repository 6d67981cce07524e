// q2_k's planes: value = (d * scale) * quant - dmin * min, a scale and a min per 16 values. Heads
// are d and dmin; byte i of scale line w is the scale (low nibble) and the min (high nibble) of the
// values from 64w + 16i on.
#ifndef SLUICE_KERNELS_ENCODINGS_Q2_K_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_Q2_K_PLANES_H_

#include <stdint.h>

#include "kernels/encodings/planes.h"

namespace sluice {

struct Q2_KPlanes : Planes<PlaneSizes{.block_values = 256,
                                      .group_blocks = 1,
                                      .head_bytes = 4,
                                      .scale_lines = 4,
                                      .extra_lines = 0,
                                      .quant_lines = 16}> {
  static constexpr Sums kSums = Sums::kSuperBlock;
  static constexpr int kSubBlockValues = 16;
  static constexpr bool kMinima = true;
  static constexpr bool kHasBook = false;
  static constexpr int kOffset = 0;

  struct Factors {
    uint32_t scales[4];
  };
  SLUICE_PLANES static Factors FactorsOf(const uint32_t (&scales)[4], uint32_t /*second*/) {
    return {{scales[0], scales[1], scales[2], scales[3]}};
  }
  SLUICE_PLANES static int32_t Factor(const Factors& factors, int s) {
    return static_cast<int32_t>(ByteOf(factors.scales, s) & 15);
  }
  SLUICE_PLANES static int32_t Minimum(const Factors& factors, int s) {
    return static_cast<int32_t>(ByteOf(factors.scales, s) >> 4);
  }
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_Q2_K_PLANES_H_
