// int4g's planes: value = scale * (quant - zero point), one scale and zero point for a group of 32,
// 64 or 128 values, which is a block. Heads are the scale and z (planes.h).
#ifndef SLUICE_KERNELS_ENCODINGS_INT4G_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_INT4G_PLANES_H_

#include "kernels/encodings/planes.h"

namespace sluice {

// A plane of heads, 48 bytes a block, is whole lines where four blocks or more lie together.
template <int kValues>
struct Int4GPlanes : Planes<PlaneSizes{.block_values = kValues,
                                       .group_blocks = kValues == 32 ? 8 : 4,
                                       .head_bytes = 3,
                                       .scale_lines = 0,
                                       .extra_lines = 0,
                                       .quant_lines = kValues / 8}> {
  static constexpr Sums kSums = Sums::kBlocks;
  static constexpr int kSubBlockValues = 32;
  static constexpr bool kMinima = false;
  static constexpr bool kHasBook = false;
  static constexpr int kOffset = 0;
};

struct INT4G32Planes : Int4GPlanes<32> {};
struct INT4G64Planes : Int4GPlanes<64> {};
struct INT4G128Planes : Int4GPlanes<128> {};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_INT4G_PLANES_H_
