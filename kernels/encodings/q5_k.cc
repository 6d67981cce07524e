// q5_k: super-blocks of 256 values = 8 sub-blocks of 32, 176 bytes: d (f16), dmin (f16), 12 bytes
// of 6-bit scales and mins (kquant_layout.h), then 32 bytes of fifth bits (bit s of byte i: bit 4
// of value i of sub-block s), then 128 bytes with the low 4 bits as in q4_k.
//
//   value = (d * scale) * q - dmin * min
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/kquant_layout.h"
#include "kernels/encodings/kquant_search.h"

namespace sluice {
namespace {

constexpr AffineFormat kFormat = {.sub_block_values = 32, .max_quant = 31, .max_scale = 63};
constexpr int kFifthBytes = 32;
constexpr int kFifthLines = 8;
constexpr int kQuantsOffset = kHeadBytes + kFifthBytes;
constexpr int kBlockBytes = kQuantsOffset + 128;
constexpr int kPairs = 4;  // of sub-blocks
constexpr int kPairBytes = 32;
constexpr int kPairLines = 8;

void Decode(const std::byte* blocks, int64_t num_values, float* values) {
  for (int64_t b = 0; b < num_values / kSuperBlockValues; ++b) {
    const std::byte* block = blocks + b * kBlockBytes;
    const float d = half::F16ToF32(Load16(block)), dmin = half::F16ToF32(Load16(block + 2));
    const ScaleWords words = LoadScales(block + 4);
    const std::byte* fifth = block + kHeadBytes;
    for (int s = 0; s < 8; ++s) {
      const float scale = d * SubBlockByte(words.scales, s),
                  min = dmin * SubBlockByte(words.mins, s);
      const std::byte* pair = block + kQuantsOffset + s / 2 * kPairBytes;
      for (int v = 0; v < 32; ++v) {
        const int low = static_cast<int>(pair[v]) >> 4 * (s % 2) & 15;
        const int high = static_cast<int>(fifth[v]) >> s & 1;
        values[b * kSuperBlockValues + 32 * s + v] = scale * (low | high << 4) - min;
      }
    }
  }
}

void Encode(const float* values, int64_t num_values, std::byte* blocks) {
  for (int64_t b = 0; b < num_values / kSuperBlockValues; ++b) {
    const AffineSuperBlock found = QuantizeAffine(values + b * kSuperBlockValues, kFormat);
    std::byte* block = blocks + b * kBlockBytes;
    StoreHead(found, block);
    std::byte* fifth = block + kHeadBytes;
    for (int v = 0; v < 32; ++v) {
      int bits = 0;
      for (int s = 0; s < 8; ++s) bits |= (found.quants[32 * s + v] >> 4) << s;
      fifth[v] = static_cast<std::byte>(bits);
    }
    for (int j = 0; j < kPairs; ++j) {
      const uint8_t* low = found.quants + 64 * j;
      std::byte* pair = block + kQuantsOffset + kPairBytes * j;
      for (int v = 0; v < 32; ++v) {
        pair[v] = static_cast<std::byte>((low[v] & 15) | (low[v + 32] & 15) << 4);
      }
    }
  }
}

int64_t GroupBytes(int /*num_values*/) {
  return (kHeadLines + kFifthLines + kPairs * kPairLines) * kLineBytes;
}

void PackLane(const std::byte* blocks, int /*num_values*/, int lane, std::byte* group) {
  PackHeadLane(blocks, lane, group);
  std::byte* fifth = group + kHeadLines * kLineBytes;
  uint32_t bits[8];  // by quad; after transposing by sub-block
  for (int t = 0; t < 8; ++t) bits[t] = Load32(blocks + kHeadBytes + 4 * t);
  TransposeBits(bits);
  for (int s = 0; s < 8; ++s) Store32(bits[s], Word(fifth, s, lane));
  std::byte* quants = fifth + kFifthLines * kLineBytes;
  for (int j = 0; j < kPairs; ++j) {
    PackNibbles(blocks + kQuantsOffset + kPairBytes * j, quants, kPairLines * j, kPairLines * j + 4,
                lane);
  }
}

void UnpackLane(const std::byte* group, int /*num_values*/, int lane, std::byte* blocks) {
  UnpackHeadLane(group, lane, blocks);
  const std::byte* fifth = group + kHeadLines * kLineBytes;
  uint32_t bits[8];
  for (int s = 0; s < 8; ++s) bits[s] = Load32(Word(fifth, s, lane));
  TransposeBits(bits);
  for (int t = 0; t < 8; ++t) Store32(bits[t], blocks + kHeadBytes + 4 * t);
  const std::byte* quants = fifth + kFifthLines * kLineBytes;
  for (int j = 0; j < kPairs; ++j) {
    UnpackNibbles(quants, kPairLines * j, kPairLines * j + 4, lane,
                  blocks + kQuantsOffset + kPairBytes * j);
  }
}

}  // namespace

constexpr Codec kQ5_KCodec = {
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
