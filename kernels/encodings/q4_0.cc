// q4_0: blocks of 32 values, 18 bytes: d (f16), then 16 bytes of nibbles (block32_layout.h).
//
//   value = d * (q - 8)
#include "kernels/encodings/block32_layout.h"
#include "kernels/encodings/block32_search.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/q4_0_planes.h"

namespace sluice {

constexpr Codec kQ4_0Codec =
    CodecOfBlocks<Q4_0Planes, ScaledBlocks32<Q4_0Planes, SearchSymmetric32<8>>>::kCodec;

}  // namespace sluice
