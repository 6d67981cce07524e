// q5_0's planes: value = d * (quant - 16). Heads are d.
#ifndef SLUICE_KERNELS_ENCODINGS_Q5_0_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_Q5_0_PLANES_H_

#include "kernels/encodings/block32_planes.h"

namespace sluice {

struct Q5_0Planes : Block32Planes<2, 1> {
  static constexpr int kOffset = 16;
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_Q5_0_PLANES_H_
