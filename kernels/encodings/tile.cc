// Walks rows and groups of a tile; what a lane of a group looks like is each codec's own.
#include "kernels/encodings/tile.h"

#include <algorithm>
#include <cstring>

#include "kernels/encodings/codec.h"

namespace sluice {

int64_t TileBytes(Encoding encoding, int64_t k) {
  const Codec& codec = CodecOf(encoding);
  const int group = Info(encoding).group_values;
  const int tail = static_cast<int>(k % group);
  return k / group * codec.group_bytes(group) + (tail > 0 ? codec.group_bytes(tail) : 0);
}

// Rows inside groups: each lane reads a row's bytes one after the other and scatters them over
// planes of at most 16 KiB, which stay in the L1 cache until all 16 lanes are there.
void PackTile(Encoding encoding, const std::byte* rows, int64_t row_stride, int num_rows, int64_t k,
              std::byte* tile) {
  const Codec& codec = CodecOf(encoding);
  const int group_values = Info(encoding).group_values;
  for (int64_t begin = 0; begin < k; begin += group_values) {
    const int num_values = static_cast<int>(std::min<int64_t>(group_values, k - begin));
    const int64_t group_bytes = codec.group_bytes(num_values);
    std::memset(tile, 0, group_bytes);  // padding and missing rows
    const std::byte* blocks = rows + RowBytes(encoding, begin);
    for (int lane = 0; lane < num_rows; ++lane) {
      codec.pack_lane(blocks + lane * row_stride, num_values, lane, tile);
    }
    tile += group_bytes;
  }
}

void UnpackTile(Encoding encoding, const std::byte* tile, int num_rows, int64_t k, std::byte* rows,
                int64_t row_stride) {
  const Codec& codec = CodecOf(encoding);
  const int group_values = Info(encoding).group_values;
  for (int64_t begin = 0; begin < k; begin += group_values) {
    const int num_values = static_cast<int>(std::min<int64_t>(group_values, k - begin));
    std::byte* blocks = rows + RowBytes(encoding, begin);
    for (int lane = 0; lane < num_rows; ++lane) {
      codec.unpack_lane(tile, num_values, lane, blocks + lane * row_stride);
    }
    tile += codec.group_bytes(num_values);
  }
}

}  // namespace sluice
