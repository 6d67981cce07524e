// mxfp4's planes: value = 2^(e - 128) * kMxfp4Values[quant], NaN for e = 255. Heads are e, a byte.
#ifndef SLUICE_KERNELS_ENCODINGS_MXFP4_PLANES_H_
#define SLUICE_KERNELS_ENCODINGS_MXFP4_PLANES_H_

#include "kernels/encodings/block32_planes.h"
#include "kernels/encodings/codebooks.h"

namespace sluice {

struct MXFP4Planes : Book32Planes<1, kMxfp4Values> {};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_MXFP4_PLANES_H_
