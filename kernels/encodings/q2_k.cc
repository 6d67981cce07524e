// q2_k: super-blocks of 256 values = 16 sub-blocks of 16, 84 bytes: 16 bytes with a scale (low
// nibble) and a min (high nibble) each, 64 bytes of quants (pairs of bits, kquant_layout.h), d
// (f16), dmin (f16).
//
//   value = (d * scale) * q - dmin * min
#include <cstring>

#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/kquant_layout.h"
#include "kernels/encodings/kquant_search.h"

namespace sluice {
namespace {

constexpr AffineFormat kFormat = {.sub_block_values = 16, .max_quant = 3, .max_scale = 15};

constexpr int kSubBlocks = 16;
constexpr int kQuantsOffset = kSubBlocks;
constexpr int kDOffset = kQuantsOffset + kPairsBytes;
constexpr int kBlockBytes = kDOffset + 4;

// Lines of a tile's planes: d and dmin in the first, then scales and mins, then quants.
constexpr int kScaleLines = 4;
constexpr int kLines = 1 + kScaleLines + kPairsLines;

void Decode(const std::byte* blocks, int64_t num_values, float* values) {
  for (int64_t b = 0; b < num_values / kSuperBlockValues; ++b) {
    const std::byte* block = blocks + b * kBlockBytes;
    const float d = half::F16ToF32(Load16(block + kDOffset));
    const float dmin = half::F16ToF32(Load16(block + kDOffset + 2));
    for (int v = 0; v < kSuperBlockValues; ++v) {
      const int scales = static_cast<int>(block[v / 16]);
      const float scale = d * (scales & 15), min = dmin * (scales >> 4);
      values[b * kSuperBlockValues + v] = scale * PairOfBits(block + kQuantsOffset, v) - min;
    }
  }
}

void Encode(const float* values, int64_t num_values, std::byte* blocks) {
  for (int64_t b = 0; b < num_values / kSuperBlockValues; ++b) {
    const AffineSuperBlock found = QuantizeAffine(values + b * kSuperBlockValues, kFormat);
    std::byte* block = blocks + b * kBlockBytes;
    for (int s = 0; s < kSubBlocks; ++s) {
      block[s] = static_cast<std::byte>(found.scales[s] | found.mins[s] << 4);
    }
    StorePairsOfBits(found.quants, 0, block + kQuantsOffset);
    Store16(found.d, block + kDOffset);
    Store16(found.dmin, block + kDOffset + 2);
  }
}

int64_t GroupBytes(int /*num_values*/) { return kLines * kLineBytes; }

void PackLane(const std::byte* blocks, int /*num_values*/, int lane, std::byte* group) {
  Store16(Load16(blocks + kDOffset), Half(group, 0, lane));
  Store16(Load16(blocks + kDOffset + 2), Half(group, 1, lane));
  for (int w = 0; w < kScaleLines; ++w) Store32(Load32(blocks + 4 * w), Word(group, 1 + w, lane));
  PackPairsOfBits(blocks + kQuantsOffset, group, 1 + kScaleLines, lane);
}

void UnpackLane(const std::byte* group, int /*num_values*/, int lane, std::byte* blocks) {
  Store16(Load16(Half(group, 0, lane)), blocks + kDOffset);
  Store16(Load16(Half(group, 1, lane)), blocks + kDOffset + 2);
  for (int w = 0; w < kScaleLines; ++w) Store32(Load32(Word(group, 1 + w, lane)), blocks + 4 * w);
  UnpackPairsOfBits(group, 1 + kScaleLines, lane, blocks + kQuantsOffset);
}

}  // namespace

constexpr Codec kQ2_KCodec = {
    .block_values = kSuperBlockValues,
    .block_bytes = kBlockBytes,
    .group_values = kSuperBlockValues,
    .decode = Decode,
    .encode = Encode,
    .group_bytes = GroupBytes,
    .pack_lane = PackLane,
    .unpack_lane = UnpackLane,
};

}  // namespace sluice
