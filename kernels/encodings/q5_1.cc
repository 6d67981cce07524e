// q5_1: blocks of 32 values, 24 bytes: d (f16), m (f16), 4 bytes of fifth bits, 16 bytes of nibbles
// (block32_layout.h).
//
//   value = d * q + m
#include "kernels/encodings/block32_layout.h"
#include "kernels/encodings/block32_search.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/q5_1_planes.h"

namespace sluice {

constexpr Codec kQ5_1Codec =
    CodecOfBlocks<Q5_1Planes, ScaledBlocks32<Q5_1Planes, SearchAffine32<31>>>::kCodec;

}  // namespace sluice
