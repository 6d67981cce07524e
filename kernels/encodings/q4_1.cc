// q4_1: blocks of 32 values, 20 bytes: d (f16), m (f16), then 16 bytes of nibbles
// (block32_layout.h).
//
//   value = d * q + m
#include "kernels/encodings/block32_layout.h"
#include "kernels/encodings/block32_search.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/q4_1_planes.h"

namespace sluice {

constexpr Codec kQ4_1Codec =
    CodecOfBlocks<Q4_1Planes, ScaledBlocks32<Q4_1Planes, SearchAffine32<15>>>::kCodec;

}  // namespace sluice
