// Planes of blocks of 32 quants with 4 bits, or 5, that have a scale, or a scale and a minimum.
#ifndef SLUICE_KERNELS_ENCODINGS_BLOCK32_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_BLOCK32_PLANES_H_

#include <stdint.h>

#include "kernels/encodings/planes.h"

namespace sluice {

// An encoding adds kOffset.
template <int kHeadBytesEach, int kFifthLines>
struct Block32Planes : Planes<PlaneSizes{.block_values = 32,
                                         .group_blocks = 8,
                                         .head_bytes = kHeadBytesEach,
                                         .scale_lines = 0,
                                         .extra_lines = kFifthLines,
                                         .quant_lines = 4}> {
  static constexpr Sums kSums = Sums::kBlocks;
  static constexpr int kSubBlockValues = 32;
  static constexpr bool kMinima = kHeadBytesEach == 4;
  static constexpr bool kHasBook = false;
};

// Four bits, which stand for the numbers of a codebook.
template <int kHeadBytesEach, const int8_t (&kValues)[16]>
struct Book32Planes : Block32Planes<kHeadBytesEach, 0> {
  static constexpr bool kHasBook = true;
  static constexpr const int8_t (&kBook)[16] = kValues;
  static constexpr int kOffset = 0;
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_BLOCK32_PLANES_H_
