// q4_1's planes: value = d * quant + m. Heads are d and m.
#ifndef SLUICE_KERNELS_ENCODINGS_Q4_1_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_Q4_1_PLANES_H_

#include "kernels/encodings/block32_planes.h"

namespace sluice {

struct Q4_1Planes : Block32Planes<4, 0> {
  static constexpr int kOffset = 0;
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_Q4_1_PLANES_H_
