// q5_k's planes: those of q4_k, and a fifth bit a value.
#ifndef SLUICE_KERNELS_ENCODINGS_Q5_K_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_Q5_K_PLANES_H_

#include "kernels/encodings/q4_k_planes.h"

namespace sluice {

struct Q5_KPlanes : AffinePlanes<8> {};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_Q5_K_PLANES_H_
