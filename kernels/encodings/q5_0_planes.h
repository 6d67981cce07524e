// q5_0's planes: value = d * (quant - 16). Heads are d.
#ifndef SLUICE_KERNELS_ENCODINGS_Q5_0_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_Q5_0_PLANES_H_

#include "kernels/encodings/planes.h"

namespace sluice {

struct Q5_0Planes : Planes<PlaneSizes{.block_values = 32,
                                      .group_blocks = 8,
                                      .head_bytes = 2,
                                      .scale_lines = 0,
                                      .extra_lines = 1,
                                      .quant_lines = 4}> {
  static constexpr Sums kSums = Sums::kBlocks;
  static constexpr int kSubBlockValues = 32;
  static constexpr bool kMinima = false;
  static constexpr bool kHasBook = false;
  static constexpr int kOffset = 16;
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_Q5_0_PLANES_H_
