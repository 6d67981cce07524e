// q3_k: super-blocks of 256 values = 16 sub-blocks of 16, 110 bytes: 32 bytes of third bits (bit s
// of byte i: bit 2 of value i of run s of 32), 64 bytes with the low 2 bits (pairs of bits,
// kquant_layout.h), 12 bytes b of 6-bit scales, d (f16). With four scales a word, byte i of word w
// being scale 4w + i, their low 4 bits are the low nibbles of b[0..3] and b[4..7] (w = 0, 1) and
// the high ones (w = 2, 3), their high 2 bits stand at bit 2w of b[8..11].
//
//   value = (d * (scale - 32)) * (q - 4)
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/kquant_layout.h"
#include "kernels/encodings/kquant_search.h"
#include "kernels/encodings/q3_k_planes.h"

namespace sluice {
namespace {

using P = Q3_KPlanes;

constexpr int kLowOffset = kBitsBytes;
constexpr int kScalesOffset = kLowOffset + kPairsBytes;
constexpr int kDOffset = kScalesOffset + 12;
static_assert(kDOffset + 2 == P::kBlockBytes);

int Scale(const std::byte* b, int s) {
  const int low = static_cast<int>(b[s % 8]) >> 4 * (s / 8) & 15;
  const int high = static_cast<int>(b[8 + s % 4]) >> 2 * (s / 4) & 3;
  return (low | high << 4) - 32;
}

struct Q3_KBlocks {
  static void Decode(const std::byte* block, float* values) {
    const float d = half::F16ToF32(Load16(block + kDOffset));
    for (int v = 0; v < P::kBlockValues; ++v) {
      const float step = d * Scale(block + kScalesOffset, v / 16);
      const int third = static_cast<int>(block[v % 32]) >> v / 32 & 1;
      const int q = PairOfBits(block + kLowOffset, v) | third << 2;
      values[v] = step * (q - P::kOffset);
    }
  }

  static void Encode(const float* values, std::byte* block) {
    const SymmetricSuperBlock found = QuantizeQ3(values);
    StoreBits(found.quants, 2, block);
    StorePairsOfBits(found.quants, 0, block + kLowOffset);
    int scales[12] = {};
    for (int s = 0; s < 16; ++s) {
      const int scale = found.scales[s] + 32;
      scales[s % 8] |= (scale & 15) << 4 * (s / 8);
      scales[8 + s % 4] |= scale >> 4 << 2 * (s / 4);
    }
    for (int i = 0; i < 12; ++i) block[kScalesOffset + i] = static_cast<std::byte>(scales[i]);
    Store16(found.d, block + kDOffset);
  }

  static void Pack(const std::byte* block, const BlockPlanes<std::byte>& planes, int lane) {
    Store16(Load16(block + kDOffset), Half(planes.head, 0, lane));
    PackWords(block + kScalesOffset, P::kScaleLines, planes.scales, lane);
    PackBits(block, planes.extra, lane);
    PackPairsOfBits(block + kLowOffset, planes.quants, lane);
  }

  static void Unpack(const BlockPlanes<const std::byte>& planes, int lane, std::byte* block) {
    Store16(Load16(Half(planes.head, 0, lane)), block + kDOffset);
    UnpackWords(planes.scales, P::kScaleLines, lane, block + kScalesOffset);
    UnpackBits(planes.extra, lane, block);
    UnpackPairsOfBits(planes.quants, lane, block + kLowOffset);
  }
};

}  // namespace

constexpr Codec kQ3_KCodec = CodecOfBlocks<Q3_KPlanes, Q3_KBlocks>::kCodec;

}  // namespace sluice
