// iq4_nl: blocks of 32 values, 18 bytes: d (f16), then 16 bytes of nibbles (block32_layout.h), each
// of which stands for one of 16 values that lie closer together near zero (codebooks.h).
//
//   value = d * kIq4Values[q]
#include "kernels/encodings/block32_layout.h"
#include "kernels/encodings/block32_search.h"
#include "kernels/encodings/codebooks.h"
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
      values[b * Layout::kValues + v] = d * kIq4Values[Layout::Quant(block, v)];
    }
  }
}

}  // namespace

constexpr Codec kIQ4_NLCodec = {
    .block_values = Layout::kValues,
    .block_bytes = Layout::kBytes,
    .group_values = Layout::kGroupValues,
    .decode = Decode,
    .encode = EncodeBlocks32<Layout, SearchIq4Block32>,
    .group_bytes = Layout::GroupBytes,
    .pack_lane = Layout::PackLane,
    .unpack_lane = Layout::UnpackLane,
};

}  // namespace sluice
