// What one encoding supplies, one struct of functions each; kernels/encodings/encoding.cc holds the
// table. Sizes and the geometry of tiles stand in the encoding's planes header.
#ifndef SLUICE_KERNELS_ENCODINGS_CODEC_H_
#define SLUICE_KERNELS_ENCODINGS_CODEC_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/encodings/encoding.h"
#include "kernels/encodings/planes.h"
#include "kernels/encodings/tile.h"

namespace sluice {

static_assert(std::endian::native == std::endian::little,
              "blocks and tiles are little-endian and are read as they lie in memory");

struct Codec {
  // DecodeRow and EncodeRow of kernels/encodings/encoding.h.
  void (*decode)(const std::byte* blocks, int64_t num_values, float* values);
  void (*encode)(const float* values, int64_t num_values, std::byte* blocks);

  // Bytes of the planes of a group of `num_values` values: group_values, or fewer (a whole number
  // of blocks) at the tail of a row. A multiple of 64.
  int64_t (*group_bytes)(int num_values);

  // Writes the `num_values` values of one row from `blocks` into lane `lane` (0..15) of the planes
  // at `group`. Other lanes and padding are not touched.
  void (*pack_lane)(const std::byte* blocks, int num_values, int lane, std::byte* group);

  // The inverse: reads one lane, writes the row's blocks.
  void (*unpack_lane)(const std::byte* group, int num_values, int lane, std::byte* blocks);
};

// Each is defined in a file of its own.
#define SLUICE_ENCODING(name, ...) extern const Codec k##name##Codec;
#include "kernels/encodings/encodings.def"

const Codec& CodecOf(Encoding encoding);

// Rows and planes have no alignment that a word could rely on.
inline uint16_t Load16(const std::byte* p) {
  uint16_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline uint32_t Load32(const std::byte* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void Store16(uint16_t v, std::byte* p) { std::memcpy(p, &v, sizeof v); }
inline void Store32(uint32_t v, std::byte* p) { std::memcpy(p, &v, sizeof v); }

// Word of row `lane` in line `line` of a plane; a half is one of a plane of 16-bit values.
inline std::byte* Word(std::byte* plane, int line, int lane) {
  return plane + line * kLineBytes + 4 * lane;
}
inline const std::byte* Word(const std::byte* plane, int line, int lane) {
  return plane + line * kLineBytes + 4 * lane;
}
inline std::byte* Half(std::byte* plane, int index, int lane) {
  return plane + index * kHalfLineBytes + 2 * lane;
}
inline const std::byte* Half(const std::byte* plane, int index, int lane) {
  return plane + index * kHalfLineBytes + 2 * lane;
}

// The codec of an encoding with planes `P`, made of what `Blocks` does with one block:
//
//   Decode(block, values)
//   Encode(values, block), or EncodeRow(values, num_values, blocks)
//   Pack(block, planes, lane)    as pack_lane, `planes` being the block's parts of the group
//   Unpack(planes, lane, block)  the inverse
template <class P, class Blocks>
struct CodecOfBlocks {
  static void Decode(const std::byte* blocks, int64_t num_values, float* values) {
    for (int64_t b = 0; b < num_values / P::kBlockValues; ++b) {
      Blocks::Decode(blocks + b * P::kBlockBytes, values + b * P::kBlockValues);
    }
  }

  static void Encode(const float* values, int64_t num_values, std::byte* blocks) {
    if constexpr (requires { &Blocks::EncodeRow; }) {
      Blocks::EncodeRow(values, num_values, blocks);
    } else {
      for (int64_t b = 0; b < num_values / P::kBlockValues; ++b) {
        Blocks::Encode(values + b * P::kBlockValues, blocks + b * P::kBlockBytes);
      }
    }
  }

  static int64_t GroupBytes(int num_values) { return P::GroupBytes(NumBlocks(num_values)); }

  static void PackLane(const std::byte* blocks, int num_values, int lane, std::byte* group) {
    const int num_blocks = NumBlocks(num_values);
    for (int b = 0; b < num_blocks; ++b) {
      Blocks::Pack(blocks + b * P::kBlockBytes, P::At(group, num_blocks, b), lane);
    }
  }

  static void UnpackLane(const std::byte* group, int num_values, int lane, std::byte* blocks) {
    const int num_blocks = NumBlocks(num_values);
    for (int b = 0; b < num_blocks; ++b) {
      Blocks::Unpack(P::At(group, num_blocks, b), lane, blocks + b * P::kBlockBytes);
    }
  }

  // Of a group. Where it is always one the loops above are none.
  static int NumBlocks(int num_values) {
    return P::kGroupBlocks == 1 ? 1 : num_values / P::kBlockValues;
  }

  static constexpr Codec kCodec = {.decode = Decode,
                                   .encode = Encode,
                                   .group_bytes = GroupBytes,
                                   .pack_lane = PackLane,
                                   .unpack_lane = UnpackLane};
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_CODEC_H_
