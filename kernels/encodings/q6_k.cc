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

namespace sluice {
namespace {

constexpr int kHighOffset = 128;
constexpr int kScalesOffset = kHighOffset + kPairsBytes;
constexpr int kDOffset = kScalesOffset + 16;
constexpr int kBlockBytes = kDOffset + 2;
constexpr int kGroupValues = 2 * kSuperBlockValues;

// Lines that a super-block takes in each plane.
constexpr int kScaleLines = 4;
constexpr int kHighLines = kPairsLines;
constexpr int kQuantLines = 32;

void Decode(const std::byte* blocks, int64_t num_values, float* values) {
  for (int64_t b = 0; b < num_values / kSuperBlockValues; ++b) {
    const std::byte* block = blocks + b * kBlockBytes;
    const float d = half::F16ToF32(Load16(block + kDOffset));
    for (int s = 0; s < 16; ++s) {
      const float scale = d * static_cast<int8_t>(block[kScalesOffset + s]);
      const int h = s / 8, j = s / 2 % 4;
      for (int v = 0; v < 16; ++v) {
        const int i = 16 * (s % 2) + v;
        const int low = static_cast<int>(block[64 * h + 32 * (j % 2) + i]) >> 4 * (j / 2) & 15;
        const int high = static_cast<int>(block[kHighOffset + 32 * h + i]) >> 2 * j & 3;
        values[b * kSuperBlockValues + 16 * s + v] = scale * ((low | high << 4) - 32);
      }
    }
  }
}

void Encode(const float* values, int64_t num_values, std::byte* blocks) {
  for (int64_t b = 0; b < num_values / kSuperBlockValues; ++b) {
    const SymmetricSuperBlock found = QuantizeQ6(values + b * kSuperBlockValues);
    std::byte* block = blocks + b * kBlockBytes;
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
}

// Where the planes of a group begin.
struct Planes {
  explicit Planes(int num_values)
      : num_blocks(num_values / kSuperBlockValues),
        scales(PadTo64(num_blocks * kHalfLineBytes)),
        high(scales + num_blocks * kScaleLines * kLineBytes),
        quants(high + num_blocks * kHighLines * kLineBytes),
        end(quants + num_blocks * kQuantLines * kLineBytes) {}
  int num_blocks;
  int64_t scales, high, quants, end;
};

int64_t GroupBytes(int num_values) { return Planes(num_values).end; }

void PackLane(const std::byte* blocks, int num_values, int lane, std::byte* group) {
  const Planes planes(num_values);
  for (int b = 0; b < planes.num_blocks; ++b) {
    const std::byte* block = blocks + b * kBlockBytes;
    Store16(Load16(block + kDOffset), Half(group, b, lane));
    for (int w = 0; w < kScaleLines; ++w) {
      Store32(Load32(block + kScalesOffset + 4 * w),
              Word(group + planes.scales, b * kScaleLines + w, lane));
    }
    PackPairsOfBits(block + kHighOffset, group + planes.high, b * kHighLines, lane);
    // 32 bytes of nibbles hold the sub-blocks (of 32) s and s + 2.
    for (int p = 0; p < 4; ++p) {
      const int line = b * kQuantLines + 4 * (p / 2 * 4 + p % 2);
      PackNibbles(block + 32 * p, group + planes.quants, line, line + 8, lane);
    }
  }
}

void UnpackLane(const std::byte* group, int num_values, int lane, std::byte* blocks) {
  const Planes planes(num_values);
  for (int b = 0; b < planes.num_blocks; ++b) {
    std::byte* block = blocks + b * kBlockBytes;
    Store16(Load16(Half(group, b, lane)), block + kDOffset);
    for (int w = 0; w < kScaleLines; ++w) {
      Store32(Load32(Word(group + planes.scales, b * kScaleLines + w, lane)),
              block + kScalesOffset + 4 * w);
    }
    UnpackPairsOfBits(group + planes.high, b * kHighLines, lane, block + kHighOffset);
    for (int p = 0; p < 4; ++p) {
      const int line = b * kQuantLines + 4 * (p / 2 * 4 + p % 2);
      UnpackNibbles(group + planes.quants, line, line + 8, lane, block + 32 * p);
    }
  }
}

}  // namespace

constexpr Codec kQ6_KCodec = {
    .block_values = kSuperBlockValues,
    .block_bytes = kBlockBytes,
    .group_values = kGroupValues,
    .decode = Decode,
    .encode = Encode,
    .group_bytes = GroupBytes,
    .pack_lane = PackLane,
    .unpack_lane = UnpackLane,
};

}  // namespace sluice
