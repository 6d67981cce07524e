// f32, f16 and bf16: a "block" is one little-endian float.
#include <algorithm>
#include <cstring>

#include "kernels/encodings/codec.h"
#include "kernels/encodings/float_planes.h"
#include "kernels/encodings/half.h"

namespace sluice {
namespace {

void DecodeF32(const std::byte* blocks, int64_t num_values, float* values) {
  std::copy_n(blocks, num_values * sizeof(float), reinterpret_cast<std::byte*>(values));
}

void EncodeF32(const float* values, int64_t num_values, std::byte* blocks) {
  std::copy_n(reinterpret_cast<const std::byte*>(values), num_values * sizeof(float), blocks);
}

template <float (*kWiden)(uint16_t)>
void Decode16(const std::byte* blocks, int64_t num_values, float* values) {
  for (int64_t i = 0; i < num_values; ++i) values[i] = kWiden(Load16(blocks + 2 * i));
}

template <uint16_t (*kNarrow)(float)>
void Encode16(const float* values, int64_t num_values, std::byte* blocks) {
  for (int64_t i = 0; i < num_values; ++i) Store16(kNarrow(values[i]), blocks + 2 * i);
}

template <class P>
int64_t GroupBytes(int num_values) {
  return P::GroupBytes(num_values);
}

// A row is cut into words of 32 bits; the last one may be half a word.
template <int kValueBytes>
void PackLane(const std::byte* blocks, int num_values, int lane, std::byte* group) {
  const int row_bytes = num_values * kValueBytes;
  int line = 0;
  for (; 4 * line + 4 <= row_bytes; ++line) {
    Store32(Load32(blocks + 4 * line), Word(group, line, lane));
  }
  if (const int rest = row_bytes - 4 * line; rest > 0) {
    std::memcpy(Word(group, line, lane), blocks + 4 * line, rest);
  }
}

template <int kValueBytes>
void UnpackLane(const std::byte* group, int num_values, int lane, std::byte* blocks) {
  const int row_bytes = num_values * kValueBytes;
  int line = 0;
  for (; 4 * line + 4 <= row_bytes; ++line) {
    Store32(Load32(Word(group, line, lane)), blocks + 4 * line);
  }
  if (const int rest = row_bytes - 4 * line; rest > 0) {
    std::memcpy(blocks + 4 * line, Word(group, line, lane), rest);
  }
}

}  // namespace

constexpr Codec kF32Codec = {
    .decode = DecodeF32,
    .encode = EncodeF32,
    .group_bytes = GroupBytes<F32Planes>,
    .pack_lane = PackLane<4>,
    .unpack_lane = UnpackLane<4>,
};

constexpr Codec kF16Codec = {
    .decode = Decode16<half::F16ToF32>,
    .encode = Encode16<half::F32ToF16>,
    .group_bytes = GroupBytes<F16Planes>,
    .pack_lane = PackLane<2>,
    .unpack_lane = UnpackLane<2>,
};

constexpr Codec kBF16Codec = {
    .decode = Decode16<half::BF16ToF32>,
    .encode = Encode16<half::F32ToBF16>,
    .group_bytes = GroupBytes<BF16Planes>,
    .pack_lane = PackLane<2>,
    .unpack_lane = UnpackLane<2>,
};

}  // namespace sluice
