// iq4_xs's planes: value = (d * (scale - 32)) * kIq4Values[quant], a scale per 32 values. Heads are
// d and 16 bits of which 2s and 2s + 1 are bits 4-5 of scale s; bits 4s .. 4s + 3 of the scale line
// are its low bits.
#ifndef SLUICE_KERNELS_ENCODINGS_IQ4_XS_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_IQ4_XS_PLANES_H_

#include <stdint.h>

#include "kernels/encodings/codebooks.h"
#include "kernels/encodings/planes.h"

namespace sluice {

struct IQ4_XSPlanes : Planes<PlaneSizes{.block_values = 256,
                                        .group_blocks = 1,
                                        .head_bytes = 4,
                                        .scale_lines = 1,
                                        .extra_lines = 0,
                                        .quant_lines = 32}> {
  static constexpr Sums kSums = Sums::kSuperBlock;
  static constexpr int kSubBlockValues = 32;
  static constexpr bool kMinima = false;
  static constexpr bool kHasBook = true;
  static constexpr const int8_t (&kBook)[16] = kIq4Values;
  static constexpr int kOffset = 0;

  struct Factors {
    uint32_t low;
    uint32_t high;
  };
  SLUICE_PLANES static Factors FactorsOf(const uint32_t (&scales)[1], uint32_t second) {
    return {scales[0], second};
  }
  SLUICE_PLANES static int32_t Factor(const Factors& factors, int s) {
    const uint32_t low = (factors.low >> 4 * s) & 15;
    return static_cast<int32_t>(low | ((factors.high >> 2 * s) & 3) << 4) - 32;
  }
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_IQ4_XS_PLANES_H_
