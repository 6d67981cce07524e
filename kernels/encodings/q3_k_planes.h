// q3_k's planes: value = (d * (scale - 32)) * (quant - 4), a scale per 16 values. Heads are d. Of
// the three scale lines
//   0, 1  have low bits: byte i of line w: low nibble = low 4 bits of scale 4w + i, high nibble =
//         those of scale 4w + 8 + i
//   2     has high bits: bits 2j and 2j + 1 of byte i = bits 4-5 of scale 4j + i
#ifndef SLUICE_KERNELS_ENCODINGS_Q3_K_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_Q3_K_PLANES_H_

#include <stdint.h>

#include "kernels/encodings/planes.h"

namespace sluice {

struct Q3_KPlanes : Planes<PlaneSizes{.block_values = 256,
                                      .group_blocks = 2,
                                      .head_bytes = 2,
                                      .scale_lines = 3,
                                      .extra_lines = 8,
                                      .quant_lines = 16}> {
  static constexpr Sums kSums = Sums::kSuperBlock;
  static constexpr int kSubBlockValues = 16;
  static constexpr bool kMinima = false;
  static constexpr bool kHasBook = false;
  static constexpr int kOffset = 4;

  struct Factors {
    uint32_t scales[4];  // byte i of word w: sub-block 4w + i, plus 32
  };
  SLUICE_PLANES static Factors FactorsOf(const uint32_t (&scales)[3], uint32_t /*second*/) {
    const uint32_t even = scales[0], odd = scales[1], high = scales[2];
    return {{JoinSixBits(even, high), JoinSixBits(odd, high >> 2),
             JoinSixBits(even >> 4, high >> 4), JoinSixBits(odd >> 4, high >> 6)}};
  }
  SLUICE_PLANES static int32_t Factor(const Factors& factors, int s) {
    return static_cast<int32_t>(ByteOf(factors.scales, s)) - 32;
  }
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_Q3_K_PLANES_H_
