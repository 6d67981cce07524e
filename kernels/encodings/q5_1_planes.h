// q5_1's planes: value = d * quant + m. Heads are d and m.
#ifndef SLUICE_KERNELS_ENCODINGS_Q5_1_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_Q5_1_PLANES_H_

#include "kernels/encodings/block32_planes.h"

namespace sluice {

struct Q5_1Planes : Block32Planes<4, 1> {
  static constexpr int kOffset = 0;
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_Q5_1_PLANES_H_
