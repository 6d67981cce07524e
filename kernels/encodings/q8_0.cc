// q8_0: blocks of 32 values, 34 bytes: d (f16), then 32 int8 q.
//
//   value = d * q
#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/encodings/block_scale.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"

namespace sluice {
namespace {

constexpr int kBlockValues = 32;
constexpr int kBlockBytes = 34;
constexpr int kGroupValues = 256;
constexpr int kQuads = kBlockValues / 4;

void Decode(const std::byte* blocks, int64_t num_values, float* values) {
  for (int64_t b = 0; b < num_values / kBlockValues; ++b) {
    const std::byte* block = blocks + b * kBlockBytes;
    const float d = half::F16ToF32(Load16(block));
    for (int v = 0; v < kBlockValues; ++v) {
      values[b * kBlockValues + v] = d * static_cast<int8_t>(block[2 + v]);
    }
  }
}

// The largest magnitude becomes 127; q is rounded with the d that is stored, not with the exact
// one.
void Encode(const float* values, int64_t num_values, std::byte* blocks) {
  for (int64_t b = 0; b < num_values / kBlockValues; ++b) {
    const float* x = values + b * kBlockValues;
    std::byte* block = blocks + b * kBlockBytes;
    const uint32_t amax = LargestMagnitudeBits(x, kBlockValues);
    if (amax >= half::kInfBits) {
      std::memset(block, 0, kBlockBytes);
      Store16(kNaNScale, block);
      continue;
    }
    const uint16_t d = ScaleToF16(std::bit_cast<float>(amax) / 127);
    const float scale = half::F16ToF32(d);
    const float inverse = scale == 0 ? 0 : 1 / scale;
    Store16(d, block);
    for (int v = 0; v < kBlockValues; ++v) {
      // Clamped before rounding: beyond the largest d a quotient can be anything.
      const float q = RoundToEven(std::min(std::max(x[v] * inverse, -127.0f), 127.0f));
      block[2 + v] = static_cast<std::byte>(static_cast<int8_t>(static_cast<int32_t>(q)));
    }
  }
}

int64_t GroupBytes(int num_values) {
  const int64_t num_blocks = num_values / kBlockValues;
  return PadTo64(num_blocks * kHalfLineBytes) + num_blocks * kQuads * kLineBytes;
}

void PackLane(const std::byte* blocks, int num_values, int lane, std::byte* group) {
  const int num_blocks = num_values / kBlockValues;
  std::byte* quants = group + PadTo64(num_blocks * kHalfLineBytes);
  for (int b = 0; b < num_blocks; ++b) {
    const std::byte* block = blocks + b * kBlockBytes;
    Store16(Load16(block), Half(group, b, lane));
    for (int t = 0; t < kQuads; ++t) {
      Store32(Load32(block + 2 + 4 * t) ^ 0x80808080u, Word(quants, b * kQuads + t, lane));
    }
  }
}

void UnpackLane(const std::byte* group, int num_values, int lane, std::byte* blocks) {
  const int num_blocks = num_values / kBlockValues;
  const std::byte* quants = group + PadTo64(num_blocks * kHalfLineBytes);
  for (int b = 0; b < num_blocks; ++b) {
    std::byte* block = blocks + b * kBlockBytes;
    Store16(Load16(Half(group, b, lane)), block);
    for (int t = 0; t < kQuads; ++t) {
      Store32(Load32(Word(quants, b * kQuads + t, lane)) ^ 0x80808080u, block + 2 + 4 * t);
    }
  }
}

}  // namespace

constexpr Codec kQ8_0Codec = {
    .block_values = kBlockValues,
    .block_bytes = kBlockBytes,
    .group_values = kGroupValues,
    .decode = Decode,
    .encode = Encode,
    .group_bytes = GroupBytes,
    .pack_lane = PackLane,
    .unpack_lane = UnpackLane,
};

}  // namespace sluice
