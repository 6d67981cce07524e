// q4_0's planes: value = d * (quant - 8). Heads are d.
#ifndef SLUICE_KERNELS_ENCODINGS_Q4_0_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_Q4_0_PLANES_H_

#include "kernels/encodings/block32_planes.h"

namespace sluice {

struct Q4_0Planes : Block32Planes<2, 0> {
  static constexpr int kOffset = 8;
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_Q4_0_PLANES_H_
