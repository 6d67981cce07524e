// q4_0: blocks of 32 values, 18 bytes: d (f16), then 16 bytes of nibbles (block32_layout.h).
//
//   value = (q - 8) * d
#include "kernels/encodings/block32_layout.h"
#include "kernels/encodings/block32_search.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"

namespace sluice {
namespace {

using Layout = Block32Layout<2, false>;

void Decode(const std::byte* blocks, int64_t num_values, float* values) {
  for (int64_t b = 0; b < num_values / Layout::kValues; ++b) {
    const std::byte* block = blocks + b * Layout::kBytes;
    const float d = half::F16ToF32(Load16(block));
    for (int v = 0; v < Layout::kValues; ++v) {
      values[b * Layout::kValues + v] = (Layout::Quant(block, v) - 8) * d;
    }
  }
}

}  // namespace

constexpr Codec kQ4_0Codec = {
    .block_values = Layout::kValues,
    .block_bytes = Layout::kBytes,
    .group_values = Layout::kGroupValues,
    .decode = Decode,
    .encode = EncodeBlocks32<Layout, SearchSymmetric32<8>>,
    .group_bytes = Layout::GroupBytes,
    .pack_lane = Layout::PackLane,
    .unpack_lane = Layout::UnpackLane,
};

}  // namespace sluice
