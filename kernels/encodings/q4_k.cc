// q4_k: super-blocks of 256 values, 144 bytes, as affine_blocks.h has them.
#include "kernels/encodings/affine_blocks.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/q4_k_planes.h"

namespace sluice {

constexpr Codec kQ4_KCodec = CodecOfBlocks<Q4_KPlanes, AffineBlocks<Q4_KPlanes>>::kCodec;

}  // namespace sluice
