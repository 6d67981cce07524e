// q5_1: blocks of 32 values, 24 bytes: d (f16), m (f16), 4 bytes of fifth bits, 16 bytes of nibbles
// (block32_layout.h).
//
//   value = d * q + m
#include "kernels/encodings/block32_layout.h"
#include "kernels/encodings/block32_search.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"

namespace sluice {
namespace {

using Layout = Block32Layout<4, true>;

void Decode(const std::byte* blocks, int64_t num_values, float* values) {
  for (int64_t b = 0; b < num_values / Layout::kValues; ++b) {
    const std::byte* block = blocks + b * Layout::kBytes;
    const float d = half::F16ToF32(Load16(block)), m = half::F16ToF32(Load16(block + 2));
    for (int v = 0; v < Layout::kValues; ++v) {
      values[b * Layout::kValues + v] = d * Layout::Quant(block, v) + m;
    }
  }
}

}  // namespace

constexpr Codec kQ5_1Codec = {
    .block_values = Layout::kValues,
    .block_bytes = Layout::kBytes,
    .group_values = Layout::kGroupValues,
    .decode = Decode,
    .encode = EncodeBlocks32<Layout, SearchAffine32<31>>,
    .group_bytes = Layout::GroupBytes,
    .pack_lane = Layout::PackLane,
    .unpack_lane = Layout::UnpackLane,
};

}  // namespace sluice
