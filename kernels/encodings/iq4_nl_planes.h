// iq4_nl's planes: value = d * kIq4Values[quant]. Heads are d.
#ifndef SLUICE_KERNELS_ENCODINGS_IQ4_NL_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_IQ4_NL_PLANES_H_

#include "kernels/encodings/codebooks.h"
#include "kernels/encodings/planes.h"

namespace sluice {

struct IQ4_NLPlanes : Planes<PlaneSizes{.block_values = 32,
                                        .group_blocks = 8,
                                        .head_bytes = 2,
                                        .scale_lines = 0,
                                        .extra_lines = 0,
                                        .quant_lines = 4}> {
  static constexpr Sums kSums = Sums::kBlocks;
  static constexpr int kSubBlockValues = 32;
  static constexpr bool kMinima = false;
  static constexpr bool kHasBook = true;
  static constexpr const int8_t (&kBook)[16] = kIq4Values;
  static constexpr int kOffset = 0;
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_IQ4_NL_PLANES_H_
