// mxfp4's planes: value = 2^(e - 128) * kMxfp4Values[quant], NaN for e = 255. Heads are e, a byte.
#ifndef SLUICE_KERNELS_ENCODINGS_MXFP4_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_MXFP4_PLANES_H_

#include "kernels/encodings/codebooks.h"
#include "kernels/encodings/planes.h"

namespace sluice {

struct MXFP4Planes : Planes<PlaneSizes{.block_values = 32,
                                       .group_blocks = 8,
                                       .head_bytes = 1,
                                       .scale_lines = 0,
                                       .extra_lines = 0,
                                       .quant_lines = 4}> {
  static constexpr Sums kSums = Sums::kBlocks;
  static constexpr int kSubBlockValues = 32;
  static constexpr bool kMinima = false;
  static constexpr bool kHasBook = true;
  static constexpr const int8_t (&kBook)[16] = kMxfp4Values;
  static constexpr int kOffset = 0;
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_MXFP4_PLANES_H_
