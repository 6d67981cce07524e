// iq4_nl: blocks of 32 values, 18 bytes: d (f16), then 16 bytes of nibbles (block32_layout.h), each
// of which stands for one of 16 values that lie closer together near zero (codebooks.h).
//
//   value = d * kIq4Values[q]
#include "kernels/encodings/block32_layout.h"
#include "kernels/encodings/block32_search.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/iq4_nl_planes.h"

namespace sluice {

constexpr Codec kIQ4_NLCodec =
    CodecOfBlocks<IQ4_NLPlanes, ScaledBlocks32<IQ4_NLPlanes, SearchIq4Block32>>::kCodec;

}  // namespace sluice
