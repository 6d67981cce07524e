// q8_0: blocks of 32 values, 34 bytes: d (f16), then 32 int8 q.
//
//   value = d * q
#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/encodings/block_scale.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/q8_0_planes.h"

namespace sluice {
namespace {

using P = Q8_0Planes;

struct Q8_0Blocks {
  static void Decode(const std::byte* block, float* values) {
    const float d = half::F16ToF32(Load16(block));
    for (int v = 0; v < P::kBlockValues; ++v) values[v] = d * static_cast<int8_t>(block[2 + v]);
  }

  // The largest magnitude becomes 127; q is rounded with the d that is stored, not with the exact
  // one.
  static void Encode(const float* x, std::byte* block) {
    const uint32_t amax = LargestMagnitudeBits(x, P::kBlockValues);
    if (amax >= half::kInfBits) {
      std::memset(block, 0, P::kBlockBytes);
      Store16(kNaNScale, block);
      return;
    }
    const uint16_t d = ScaleToF16(std::bit_cast<float>(amax) / 127);
    const float scale = half::F16ToF32(d);
    const float inverse = scale == 0 ? 0 : 1 / scale;
    Store16(d, block);
    for (int v = 0; v < P::kBlockValues; ++v) {
      // Clamped before rounding: beyond the largest d a quotient can be anything.
      const float q = RoundToEven(std::min(std::max(x[v] * inverse, -127.0f), 127.0f));
      block[2 + v] = static_cast<std::byte>(static_cast<int8_t>(static_cast<int32_t>(q)));
    }
  }

  static void Pack(const std::byte* block, const BlockPlanes<std::byte>& planes, int lane) {
    Store16(Load16(block), Half(planes.head, 0, lane));
    for (int t = 0; t < P::kQuantLines; ++t) {
      Store32(Load32(block + 2 + 4 * t) ^ 0x80808080u, Word(planes.quants, t, lane));
    }
  }

  static void Unpack(const BlockPlanes<const std::byte>& planes, int lane, std::byte* block) {
    Store16(Load16(Half(planes.head, 0, lane)), block);
    for (int t = 0; t < P::kQuantLines; ++t) {
      Store32(Load32(Word(planes.quants, t, lane)) ^ 0x80808080u, block + 2 + 4 * t);
    }
  }
};

}  // namespace

constexpr Codec kQ8_0Codec = CodecOfBlocks<Q8_0Planes, Q8_0Blocks>::kCodec;

}  // namespace sluice
