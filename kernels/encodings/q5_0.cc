// q5_0: blocks of 32 values, 22 bytes: d (f16), 4 bytes of fifth bits, 16 bytes of nibbles
// (block32_layout.h).
//
//   value = d * (q - 16)
#include "kernels/encodings/block32_layout.h"
#include "kernels/encodings/block32_search.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/q5_0_planes.h"

namespace sluice {

constexpr Codec kQ5_0Codec =
    CodecOfBlocks<Q5_0Planes, ScaledBlocks32<Q5_0Planes, SearchSymmetric32<16>>>::kCodec;

}  // namespace sluice
