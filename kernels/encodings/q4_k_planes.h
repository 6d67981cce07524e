// q4_k's planes: value = (d * scale) * quant - dmin * min, a scale and a min per 32 values.
#ifndef SLUICE_KERNELS_ENCODINGS_Q4_K_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_Q4_K_PLANES_H_

#include <stdint.h>

#include "kernels/encodings/planes.h"

namespace sluice {

// What q4_k and q5_k have in common. Heads are d and dmin. Of the three scale lines
//   0  has the scales: byte i: low nibble = low 4 bits of scale i, high nibble = those of scale i +
//   4 1  has the mins, in the same way 2  has high bits: byte i: bits 0-1 = bits 4-5 of scale i,
//   bits 2-3 of scale i + 4, bits 4-5 of
//      min i, bits 6-7 of min i + 4
template <int kExtraLinesEach>
struct AffinePlanes : Planes<PlaneSizes{.block_values = 256,
                                        .group_blocks = 1,
                                        .head_bytes = 4,
                                        .scale_lines = 3,
                                        .extra_lines = kExtraLinesEach,
                                        .quant_lines = 32}> {
  static constexpr Sums kSums = Sums::kSuperBlock;
  static constexpr int kSubBlockValues = 32;
  static constexpr bool kMinima = true;
  static constexpr bool kHasBook = false;
  static constexpr int kOffset = 0;

  // Byte i of word h: sub-block 4h + i.
  struct Factors {
    uint32_t scales[2];
    uint32_t minima[2];
  };
  SLUICE_PLANES static Factors FactorsOf(const uint32_t (&scales)[3], uint32_t /*second*/) {
    const uint32_t high = scales[2];
    return {{JoinSixBits(scales[0], high), JoinSixBits(scales[0] >> 4, high >> 2)},
            {JoinSixBits(scales[1], high >> 4), JoinSixBits(scales[1] >> 4, high >> 6)}};
  }
  SLUICE_PLANES static int32_t Factor(const Factors& factors, int s) {
    return static_cast<int32_t>(ByteOf(factors.scales, s));
  }
  SLUICE_PLANES static int32_t Minimum(const Factors& factors, int s) {
    return static_cast<int32_t>(ByteOf(factors.minima, s));
  }
};

struct Q4_KPlanes : AffinePlanes<0> {};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_Q4_K_PLANES_H_
