// q6_k: super-blocks of 256 values = 16 sub-blocks of 16, 210 bytes: 128 bytes with the low 4 bits
// of the quants, 64 bytes with their high 2 bits, 16 int8 scales, d (f16). Each half h of 128
// values has 64 and 32 of those bytes: value i of its run j of 32 (j = 0..3) is in the low (j < 2)
// or high nibble of byte 64h + 32 * (j % 2) + i, and in bits 2j and 2j + 1 of byte 32h + i.
//
//   value = (d * scale) * (q - 32)
#include <cstring>

#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/kquant_layout.h"
#include "kernels/encodings/kquant_search.h"
#include "kernels/encodings/q6_k_planes.h"

namespace sluice {
namespace {

using P = Q6_KPlanes;

constexpr int kHighOffset = 128;
constexpr int kScalesOffset = kHighOffset + kPairsBytes;
constexpr int kDOffset = kScalesOffset + 16;
static_assert(kDOffset + 2 == P::kBlockBytes);

struct Q6_KBlocks {
  static void Decode(const std::byte* block, float* values) {
    const float d = half::F16ToF32(Load16(block + kDOffset));
    for (int s = 0; s < 16; ++s) {
      const float scale = d * static_cast<int8_t>(block[kScalesOffset + s]);
      const int h = s / 8, j = s / 2 % 4;
      for (int v = 0; v < 16; ++v) {
        const int i = 16 * (s % 2) + v;
        const int low = static_cast<int>(block[64 * h + 32 * (j % 2) + i]) >> 4 * (j / 2) & 15;
        const int high = static_cast<int>(block[kHighOffset + 32 * h + i]) >> 2 * j & 3;
        values[16 * s + v] = scale * ((low | high << 4) - P::kOffset);
      }
    }
  }

  static void Encode(const float* values, std::byte* block) {
    const SymmetricSuperBlock found = QuantizeQ6(values);
    for (int h = 0; h < 2; ++h) {
      const uint8_t* q = found.quants + 128 * h;
      for (int i = 0; i < 64; ++i) {
        block[64 * h + i] = static_cast<std::byte>((q[i] & 15) | (q[i + 64] & 15) << 4);
      }
    }
    StorePairsOfBits(found.quants, 4, block + kHighOffset);
    std::memcpy(block + kScalesOffset, found.scales, sizeof found.scales);
    Store16(found.d, block + kDOffset);
  }

  // 32 bytes of nibbles hold the sub-blocks (of 32) s and s + 2: the lines from this one on, and
  // from 8 lines behind it.
  static int LineOf(int p) { return 4 * (p / 2 * 4 + p % 2); }

  static void Pack(const std::byte* block, const BlockPlanes<std::byte>& planes, int lane) {
    Store16(Load16(block + kDOffset), Half(planes.head, 0, lane));
    PackWords(block + kScalesOffset, P::kScaleLines, planes.scales, lane);
    PackPairsOfBits(block + kHighOffset, planes.extra, lane);
    for (int p = 0; p < 4; ++p) {
      PackNibbles(block + 32 * p, planes.quants, LineOf(p), LineOf(p) + 8, lane);
    }
  }

  static void Unpack(const BlockPlanes<const std::byte>& planes, int lane, std::byte* block) {
    Store16(Load16(Half(planes.head, 0, lane)), block + kDOffset);
    UnpackWords(planes.scales, P::kScaleLines, lane, block + kScalesOffset);
    UnpackPairsOfBits(planes.extra, lane, block + kHighOffset);
    for (int p = 0; p < 4; ++p) {
      UnpackNibbles(planes.quants, LineOf(p), LineOf(p) + 8, lane, block + 32 * p);
    }
  }
};

}  // namespace

constexpr Codec kQ6_KCodec = CodecOfBlocks<Q6_KPlanes, Q6_KBlocks>::kCodec;

}  // namespace sluice
