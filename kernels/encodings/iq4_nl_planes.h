// iq4_nl's planes: value = d * kIq4Values[quant]. Heads are d.
#ifndef SLUICE_KERNELS_ENCODINGS_IQ4_NL_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_IQ4_NL_PLANES_H_

#include "kernels/encodings/block32_planes.h"
#include "kernels/encodings/codebooks.h"

namespace sluice {

struct IQ4_NLPlanes : Book32Planes<2, kIq4Values> {};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_IQ4_NL_PLANES_H_
