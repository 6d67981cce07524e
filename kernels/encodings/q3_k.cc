// q3_k: super-blocks of 256 values = 16 sub-blocks of 16, 110 bytes: 32 bytes of third bits (bit s
// of byte i: bit 2 of value i of run s of 32), 64 bytes with the low 2 bits (pairs of bits,
// kquant_layout.h), 12 bytes b of 6-bit scales, d (f16). With four scales a word, byte i of word w
// being scale 4w + i, their low 4 bits are the low nibbles of b[0..3] and b[4..7] (w = 0, 1) and
// the high ones (w = 2, 3), their high 2 bits stand at bit 2w of b[8..11].
//
//   value = (d * (scale - 32)) * (q - 4)
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/kquant_layout.h"
#include "kernels/encodings/kquant_search.h"

namespace sluice {
namespace {

constexpr int kThirdBytes = 32;
constexpr int kLowOffset = kThirdBytes;
constexpr int kScalesOffset = kLowOffset + kPairsBytes;
constexpr int kDOffset = kScalesOffset + 12;
constexpr int kBlockBytes = kDOffset + 2;
constexpr int kGroupValues = 2 * kSuperBlockValues;

// Lines that a super-block takes in each plane.
constexpr int kScaleLines = 3;
constexpr int kThirdLines = 8;

int Scale(const std::byte* b, int s) {
  const int low = static_cast<int>(b[s % 8]) >> 4 * (s / 8) & 15;
  const int high = static_cast<int>(b[8 + s % 4]) >> 2 * (s / 4) & 3;
  return (low | high << 4) - 32;
}

void Decode(const std::byte* blocks, int64_t num_values, float* values) {
  for (int64_t b = 0; b < num_values / kSuperBlockValues; ++b) {
    const std::byte* block = blocks + b * kBlockBytes;
    const float d = half::F16ToF32(Load16(block + kDOffset));
    for (int v = 0; v < kSuperBlockValues; ++v) {
      const float step = d * Scale(block + kScalesOffset, v / 16);
      const int third = static_cast<int>(block[v % 32]) >> v / 32 & 1;
      const int q = PairOfBits(block + kLowOffset, v) | third << 2;
      values[b * kSuperBlockValues + v] = step * (q - 4);
    }
  }
}

void Encode(const float* values, int64_t num_values, std::byte* blocks) {
  for (int64_t b = 0; b < num_values / kSuperBlockValues; ++b) {
    const SymmetricSuperBlock found = QuantizeQ3(values + b * kSuperBlockValues);
    std::byte* block = blocks + b * kBlockBytes;
    for (int i = 0; i < kThirdBytes; ++i) {
      int bits = 0;
      for (int s = 0; s < 8; ++s) bits |= (found.quants[32 * s + i] >> 2) << s;
      block[i] = static_cast<std::byte>(bits);
    }
    StorePairsOfBits(found.quants, 0, block + kLowOffset);
    int scales[12] = {};
    for (int s = 0; s < 16; ++s) {
      const int scale = found.scales[s] + 32;
      scales[s % 8] |= (scale & 15) << 4 * (s / 8);
      scales[8 + s % 4] |= scale >> 4 << 2 * (s / 4);
    }
    for (int i = 0; i < 12; ++i) block[kScalesOffset + i] = static_cast<std::byte>(scales[i]);
    Store16(found.d, block + kDOffset);
  }
}

// Where the planes of a group begin.
struct Planes {
  explicit Planes(int num_values)
      : num_blocks(num_values / kSuperBlockValues),
        scales(PadTo64(num_blocks * kHalfLineBytes)),
        third(scales + num_blocks * kScaleLines * kLineBytes),
        low(third + num_blocks * kThirdLines * kLineBytes),
        end(low + num_blocks * kPairsLines * kLineBytes) {}
  int num_blocks;
  int64_t scales, third, low, end;
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
    uint32_t bits[8];  // by quad; after transposing by run of 32
    for (int t = 0; t < 8; ++t) bits[t] = Load32(block + 4 * t);
    TransposeBits(bits);
    for (int s = 0; s < 8; ++s) {
      Store32(bits[s], Word(group + planes.third, b * kThirdLines + s, lane));
    }
    PackPairsOfBits(block + kLowOffset, group + planes.low, b * kPairsLines, lane);
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
    uint32_t bits[8];
    for (int s = 0; s < 8; ++s) {
      bits[s] = Load32(Word(group + planes.third, b * kThirdLines + s, lane));
    }
    TransposeBits(bits);
    for (int t = 0; t < 8; ++t) Store32(bits[t], block + 4 * t);
    UnpackPairsOfBits(group + planes.low, b * kPairsLines, lane, block + kLowOffset);
  }
}

}  // namespace

constexpr Codec kQ3_KCodec = {
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
