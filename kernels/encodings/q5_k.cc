// q5_k: super-blocks of 256 values, 176 bytes, as affine_blocks.h has them.
#include "kernels/encodings/affine_blocks.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/q5_k_planes.h"

namespace sluice {

constexpr Codec kQ5_KCodec = CodecOfBlocks<Q5_KPlanes, AffineBlocks<Q5_KPlanes>>::kCodec;

}  // namespace sluice
