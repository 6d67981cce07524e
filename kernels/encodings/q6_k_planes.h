// q6_k's planes: value = (d * scale) * (quant - 32), a scale per 16 values. Heads are d; byte i of
// scale line w is the int8 scale of the values from 64w + 16i on.
#ifndef SLUICE_KERNELS_ENCODINGS_Q6_K_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_Q6_K_PLANES_H_

#include <stdint.h>

#include "kernels/encodings/planes.h"

namespace sluice {

struct Q6_KPlanes : Planes<PlaneSizes{.block_values = 256,
                                      .group_blocks = 2,
                                      .head_bytes = 2,
                                      .scale_lines = 4,
                                      .extra_lines = 16,
                                      .quant_lines = 32}> {
  static constexpr Sums kSums = Sums::kScaledBlocks;
  static constexpr int kSubBlockValues = 16;
  static constexpr bool kMinima = false;
  static constexpr bool kHasBook = false;
  static constexpr int kOffset = 32;

  struct Factors {
    uint32_t scales[4];
  };
  SLUICE_PLANES static Factors FactorsOf(const uint32_t (&scales)[4], uint32_t /*second*/) {
    return {{scales[0], scales[1], scales[2], scales[3]}};
  }
  SLUICE_PLANES static int32_t Factor(const Factors& factors, int s) {
    return static_cast<int8_t>(ByteOf(factors.scales, s));
  }
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_Q6_K_PLANES_H_
