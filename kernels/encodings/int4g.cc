// int4g32, int4g64, int4g128: blocks of 32, 64 or 128 values, which GPTQ and AWQ call groups: a
// scale of 16 bits, a byte z, then 16 bytes of nibbles for each 32 values, as q4_0 has them.
//
//   value = scale * (q - zero point)
//
// The low seven bits of z are the zero point; its top bit says that the scale is a bf16, otherwise
// it is an f16. Checkpoints have either, and neither type holds all scales of the other.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/encodings/block_scale.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/int4g_planes.h"

namespace sluice {
namespace {

constexpr int kMostQuant = 15;
constexpr int kQuantsAt = 3;
constexpr uint8_t kBF16Scale = 128;

// A block's scale as it is stored, and as it decodes.
struct StoredScale {
  uint16_t bits;
  uint8_t flag;  // kBF16Scale or 0
  float value;
};

// f16 where it is a normal f16; bf16 has fewer bits and reaches farther.
StoredScale StoreScale(double step) {
  constexpr float kLargest = 0x1p124f;  // kMostQuant times that is finite
  const float scale = static_cast<float>(std::min<double>(step, kLargest));
  if (scale >= 0x1p-14f && scale <= 65504) {
    const uint16_t bits = half::F32ToF16(scale);
    return {bits, 0, half::F16ToF32(bits)};
  }
  const uint16_t bits = half::F32ToBF16(scale);
  return {bits, kBF16Scale, half::BF16ToF32(bits)};
}

// To nearest; beyond 0 .. kMostQuant to the nearer end.
int NearestQuant(double x) {
  return static_cast<int>(std::lround(std::min(std::max(x, 0.0), double{kMostQuant})));
}

template <class P>
struct Int4GBlocks {
  static void Decode(const std::byte* block, float* values) {
    const uint32_t z = static_cast<uint32_t>(block[2]);
    const uint16_t bits = Load16(block);
    const float scale = ScaleIsBF16(z) ? half::BF16ToF32(bits) : half::F16ToF32(bits);
    for (int v = 0; v < P::kBlockValues; ++v) {
      const int pair = static_cast<int>(block[kQuantsAt + v / 32 * 16 + v % 16]);
      const int quant = v % 32 < 16 ? pair & 15 : pair >> 4;
      values[v] = scale * static_cast<float>(quant - ZeroPoint(z));
    }
  }

  // The grid reaches from the least value, or 0, to the greatest, or 0.
  static void Encode(const float* x, std::byte* block) {
    std::memset(block, 0, P::kBlockBytes);
    if (LargestMagnitudeBits(x, P::kBlockValues) >= half::kInfBits) {
      Store16(kNaNScale, block);
      return;
    }
    float least = 0, greatest = 0;
    for (int v = 0; v < P::kBlockValues; ++v) {
      least = std::min(least, x[v]);
      greatest = std::max(greatest, x[v]);
    }
    const double step = (double{greatest} - least) / kMostQuant;
    const StoredScale scale = StoreScale(step);
    const double inverse = scale.value == 0 ? 0 : 1 / double{scale.value};
    const int zero_point = step == 0 ? 0 : NearestQuant(-least / step);
    Store16(scale.bits, block);
    block[2] = static_cast<std::byte>(scale.flag | zero_point);
    for (int v = 0; v < P::kBlockValues; ++v) {
      const int quant = NearestQuant(x[v] * inverse + zero_point);
      block[kQuantsAt + v / 32 * 16 + v % 16] |=
          static_cast<std::byte>(v % 32 < 16 ? quant : quant << 4);
    }
  }

  static void Pack(const std::byte* block, const BlockPlanes<std::byte>& planes, int lane) {
    Store16(Load16(block), Half(planes.head, 0, lane));
    planes.head[kHalfLineBytes + lane] = block[2];
    for (int l = 0; l < P::kQuantLines; ++l) {
      Store32(Load32(block + kQuantsAt + 4 * l), Word(planes.quants, l, lane));
    }
  }

  static void Unpack(const BlockPlanes<const std::byte>& planes, int lane, std::byte* block) {
    Store16(Load16(Half(planes.head, 0, lane)), block);
    block[2] = planes.head[kHalfLineBytes + lane];
    for (int l = 0; l < P::kQuantLines; ++l) {
      Store32(Load32(Word(planes.quants, l, lane)), block + kQuantsAt + 4 * l);
    }
  }
};

}  // namespace

constexpr Codec kINT4G32Codec = CodecOfBlocks<INT4G32Planes, Int4GBlocks<INT4G32Planes>>::kCodec;
constexpr Codec kINT4G64Codec = CodecOfBlocks<INT4G64Planes, Int4GBlocks<INT4G64Planes>>::kCodec;
constexpr Codec kINT4G128Codec = CodecOfBlocks<INT4G128Planes, Int4GBlocks<INT4G128Planes>>::kCodec;

}  // namespace sluice
