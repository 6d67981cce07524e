// q2_k: super-blocks of 256 values = 16 sub-blocks of 16, 84 bytes: 16 bytes with a scale (low
// nibble) and a min (high nibble) each, 64 bytes of quants (pairs of bits, kquant_layout.h), d
// (f16), dmin (f16).
//
//   value = (d * scale) * q - dmin * min
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/kquant_layout.h"
#include "kernels/encodings/kquant_search.h"
#include "kernels/encodings/q2_k_planes.h"

namespace sluice {
namespace {

using P = Q2_KPlanes;

constexpr AffineFormat kFormat = {.sub_block_values = 16, .max_quant = 3, .max_scale = 15};
constexpr int kSubBlocks = 16;
constexpr int kQuantsOffset = kSubBlocks;
constexpr int kDOffset = kQuantsOffset + kPairsBytes;
static_assert(kDOffset + 4 == P::kBlockBytes);

struct Q2_KBlocks {
  static void Decode(const std::byte* block, float* values) {
    const float d = half::F16ToF32(Load16(block + kDOffset));
    const float dmin = half::F16ToF32(Load16(block + kDOffset + 2));
    for (int v = 0; v < P::kBlockValues; ++v) {
      const int scales = static_cast<int>(block[v / 16]);
      const float scale = d * (scales & 15), min = dmin * (scales >> 4);
      values[v] = scale * PairOfBits(block + kQuantsOffset, v) - min;
    }
  }

  static void Encode(const float* values, std::byte* block) {
    const AffineSuperBlock found = QuantizeAffine(values, kFormat);
    for (int s = 0; s < kSubBlocks; ++s) {
      block[s] = static_cast<std::byte>(found.scales[s] | found.mins[s] << 4);
    }
    StorePairsOfBits(found.quants, 0, block + kQuantsOffset);
    Store16(found.d, block + kDOffset);
    Store16(found.dmin, block + kDOffset + 2);
  }

  static void Pack(const std::byte* block, const BlockPlanes<std::byte>& planes, int lane) {
    Store16(Load16(block + kDOffset), Half(planes.head, 0, lane));
    Store16(Load16(block + kDOffset + 2), Half(planes.head, 1, lane));
    PackWords(block, P::kScaleLines, planes.scales, lane);
    PackPairsOfBits(block + kQuantsOffset, planes.quants, lane);
  }

  static void Unpack(const BlockPlanes<const std::byte>& planes, int lane, std::byte* block) {
    Store16(Load16(Half(planes.head, 0, lane)), block + kDOffset);
    Store16(Load16(Half(planes.head, 1, lane)), block + kDOffset + 2);
    UnpackWords(planes.scales, P::kScaleLines, lane, block);
    UnpackPairsOfBits(planes.quants, lane, block + kQuantsOffset);
  }
};

}  // namespace

constexpr Codec kQ2_KCodec = CodecOfBlocks<Q2_KPlanes, Q2_KBlocks>::kCodec;

}  // namespace sluice
