// q4_k: super-blocks of 256 values = 8 sub-blocks of 32, 144 bytes: d (f16), dmin (f16), 12 bytes
// of 6-bit scales and mins (kquant_layout.h), then 128 bytes of quants: byte 32j + i holds value i
// of sub-block 2j (low nibble) and of sub-block 2j + 1 (high nibble).
//
//   value = (d * scale) * q - dmin * min
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/kquant_layout.h"
#include "kernels/encodings/kquant_search.h"

namespace sluice {
namespace {

constexpr AffineFormat kFormat = {.sub_block_values = 32, .max_quant = 15, .max_scale = 63};
constexpr int kBlockBytes = kHeadBytes + 128;
constexpr int kPairs = 4;  // of sub-blocks
constexpr int kPairBytes = 32;
constexpr int kPairLines = 8;

void Decode(const std::byte* blocks, int64_t num_values, float* values) {
  for (int64_t b = 0; b < num_values / kSuperBlockValues; ++b) {
    const std::byte* block = blocks + b * kBlockBytes;
    const float d = half::F16ToF32(Load16(block)), dmin = half::F16ToF32(Load16(block + 2));
    const ScaleWords words = LoadScales(block + 4);
    for (int s = 0; s < 8; ++s) {
      const float scale = d * SubBlockByte(words.scales, s),
                  min = dmin * SubBlockByte(words.mins, s);
      const std::byte* pair = block + kHeadBytes + s / 2 * kPairBytes;
      for (int v = 0; v < 32; ++v) {
        const int q = static_cast<int>(pair[v]) >> 4 * (s % 2) & 15;
        values[b * kSuperBlockValues + 32 * s + v] = scale * q - min;
      }
    }
  }
}

void Encode(const float* values, int64_t num_values, std::byte* blocks) {
  for (int64_t b = 0; b < num_values / kSuperBlockValues; ++b) {
    const AffineSuperBlock found = QuantizeAffine(values + b * kSuperBlockValues, kFormat);
    std::byte* block = blocks + b * kBlockBytes;
    StoreHead(found, block);
    for (int j = 0; j < kPairs; ++j) {
      const uint8_t* low = found.quants + 64 * j;
      std::byte* pair = block + kHeadBytes + kPairBytes * j;
      for (int v = 0; v < 32; ++v) pair[v] = static_cast<std::byte>(low[v] | low[v + 32] << 4);
    }
  }
}

int64_t GroupBytes(int /*num_values*/) { return (kHeadLines + kPairs * kPairLines) * kLineBytes; }

void PackLane(const std::byte* blocks, int /*num_values*/, int lane, std::byte* group) {
  PackHeadLane(blocks, lane, group);
  std::byte* quants = group + kHeadLines * kLineBytes;
  for (int j = 0; j < kPairs; ++j) {
    PackNibbles(blocks + kHeadBytes + kPairBytes * j, quants, kPairLines * j, kPairLines * j + 4,
                lane);
  }
}

void UnpackLane(const std::byte* group, int /*num_values*/, int lane, std::byte* blocks) {
  UnpackHeadLane(group, lane, blocks);
  const std::byte* quants = group + kHeadLines * kLineBytes;
  for (int j = 0; j < kPairs; ++j) {
    UnpackNibbles(quants, kPairLines * j, kPairLines * j + 4, lane,
                  blocks + kHeadBytes + kPairBytes * j);
  }
}

}  // namespace

constexpr Codec kQ4_KCodec = {
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
