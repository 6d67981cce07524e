// iq4_xs: super-blocks of 256 values = 8 sub-blocks of 32, 136 bytes: d (f16), 2 bytes h and 4
// bytes l of scales, then 16 bytes a sub-block of which byte i holds the quants of value i (low
// nibble) and value i + 16 (high nibble). As little-endian words, scale s has its low 4 bits at bit
// 4s of l and its high 2 bits at bit 2s of h. A quant stands for one of 16 values (codebooks.h).
//
//   value = (d * (scale - 32)) * kIq4Values[q]
#include "kernels/encodings/codebooks.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/kquant_search.h"

namespace sluice {
namespace {

constexpr int kSubBlocks = 8;
constexpr int kHighOffset = 2;
constexpr int kLowOffset = 4;
constexpr int kQuantsOffset = 8;
constexpr int kBlockBytes = kQuantsOffset + 128;

// Planes of a tile: d and h as halves in the first line, l in the second, then the quants.
constexpr int kHeadLines = 2;
constexpr int kQuantLines = 32;

void Decode(const std::byte* blocks, int64_t num_values, float* values) {
  for (int64_t b = 0; b < num_values / kSuperBlockValues; ++b) {
    const std::byte* block = blocks + b * kBlockBytes;
    const float d = half::F16ToF32(Load16(block));
    const uint32_t high = Load16(block + kHighOffset), low = Load32(block + kLowOffset);
    for (int s = 0; s < kSubBlocks; ++s) {
      const int scale = static_cast<int>((low >> 4 * s & 15) | (high >> 2 * s & 3) << 4);
      const float step = d * (scale - 32);
      float* out = values + b * kSuperBlockValues + 32 * s;
      for (int i = 0; i < 16; ++i) {
        const int pair = static_cast<int>(block[kQuantsOffset + 16 * s + i]);
        out[i] = step * kIq4Values[pair & 15];
        out[i + 16] = step * kIq4Values[pair >> 4];
      }
    }
  }
}

void Encode(const float* values, int64_t num_values, std::byte* blocks) {
  for (int64_t b = 0; b < num_values / kSuperBlockValues; ++b) {
    const SymmetricSuperBlock found = QuantizeIq4(values + b * kSuperBlockValues);
    std::byte* block = blocks + b * kBlockBytes;
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
}

int64_t GroupBytes(int /*num_values*/) { return (kHeadLines + kQuantLines) * kLineBytes; }

// Words of quants stay as they are: word l of a sub-block is quads l and l + 4.
void PackLane(const std::byte* blocks, int /*num_values*/, int lane, std::byte* group) {
  Store16(Load16(blocks), Half(group, 0, lane));
  Store16(Load16(blocks + kHighOffset), Half(group, 1, lane));
  Store32(Load32(blocks + kLowOffset), Word(group, 1, lane));
  for (int l = 0; l < kQuantLines; ++l) {
    Store32(Load32(blocks + kQuantsOffset + 4 * l), Word(group, kHeadLines + l, lane));
  }
}

void UnpackLane(const std::byte* group, int /*num_values*/, int lane, std::byte* blocks) {
  Store16(Load16(Half(group, 0, lane)), blocks);
  Store16(Load16(Half(group, 1, lane)), blocks + kHighOffset);
  Store32(Load32(Word(group, 1, lane)), blocks + kLowOffset);
  for (int l = 0; l < kQuantLines; ++l) {
    Store32(Load32(Word(group, kHeadLines + l, lane)), blocks + kQuantsOffset + 4 * l);
  }
}

}  // namespace

constexpr Codec kIQ4_XSCodec = {
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
