// iq4_xs: super-blocks of 256 values = 8 sub-blocks of 32, 136 bytes: d (f16), 2 bytes h and 4
// bytes l of scales, then 16 bytes a sub-block of which byte i holds the quants of value i (low
// nibble) and value i + 16 (high nibble). As little-endian words, scale s has its low 4 bits at bit
// 4s of l and its high 2 bits at bit 2s of h. A quant stands for one of 16 values (codebooks.h).
//
//   value = (d * (scale - 32)) * kIq4Values[q]
#include "kernels/encodings/codebooks.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/iq4_xs_planes.h"
#include "kernels/encodings/kquant_layout.h"
#include "kernels/encodings/kquant_search.h"

namespace sluice {
namespace {

using P = IQ4_XSPlanes;

constexpr int kSubBlocks = 8;
constexpr int kHighOffset = 2;
constexpr int kLowOffset = 4;
constexpr int kQuantsOffset = 8;
static_assert(kQuantsOffset + 128 == P::kBlockBytes);

struct IQ4_XSBlocks {
  static void Decode(const std::byte* block, float* values) {
    const float d = half::F16ToF32(Load16(block));
    const uint32_t high = Load16(block + kHighOffset), low = Load32(block + kLowOffset);
    for (int s = 0; s < kSubBlocks; ++s) {
      const int scale = static_cast<int>((low >> 4 * s & 15) | (high >> 2 * s & 3) << 4);
      const float step = d * (scale - 32);
      float* out = values + 32 * s;
      for (int i = 0; i < 16; ++i) {
        const int pair = static_cast<int>(block[kQuantsOffset + 16 * s + i]);
        out[i] = step * kIq4Values[pair & 15];
        out[i + 16] = step * kIq4Values[pair >> 4];
      }
    }
  }

  static void Encode(const float* values, std::byte* block) {
    const SymmetricSuperBlock found = QuantizeIq4(values);
    uint32_t high = 0, low = 0;
    for (int s = 0; s < kSubBlocks; ++s) {
      const uint32_t scale = static_cast<uint32_t>(found.scales[s] + 32);
      low |= (scale & 15) << 4 * s;
      high |= scale >> 4 << 2 * s;
      const uint8_t* q = found.quants + 32 * s;
      for (int i = 0; i < 16; ++i) {
        block[kQuantsOffset + 16 * s + i] = static_cast<std::byte>(q[i] | q[i + 16] << 4);
      }
    }
    Store16(found.d, block);
    Store16(static_cast<uint16_t>(high), block + kHighOffset);
    Store32(low, block + kLowOffset);
  }

  // Words of quants stay as they are: word l of a sub-block is quads l and l + 4.
  static void Pack(const std::byte* block, const BlockPlanes<std::byte>& planes, int lane) {
    Store16(Load16(block), Half(planes.head, 0, lane));
    Store16(Load16(block + kHighOffset), Half(planes.head, 1, lane));
    Store32(Load32(block + kLowOffset), Word(planes.scales, 0, lane));
    PackWords(block + kQuantsOffset, P::kQuantLines, planes.quants, lane);
  }

  static void Unpack(const BlockPlanes<const std::byte>& planes, int lane, std::byte* block) {
    Store16(Load16(Half(planes.head, 0, lane)), block);
    Store16(Load16(Half(planes.head, 1, lane)), block + kHighOffset);
    Store32(Load32(Word(planes.scales, 0, lane)), block + kLowOffset);
    UnpackWords(planes.quants, P::kQuantLines, lane, block + kQuantsOffset);
  }
};

}  // namespace

constexpr Codec kIQ4_XSCodec = CodecOfBlocks<IQ4_XSPlanes, IQ4_XSBlocks>::kCodec;

}  // namespace sluice
