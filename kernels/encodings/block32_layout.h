// Blocks of 32 values with 4 or 5 bits each, and the planes that their parts go to in a tile's
// lane.
//
// A block: kHeadBytes of scales (d, or d and m, f16 each; or one byte), 4 bytes of fifth bits where
// there are some (bit v belongs to value v), then 16 bytes of which byte i holds the low 4 bits of
// value i (low nibble) and value i + 16 (high nibble). The planes follow each other in that order.
#ifndef SLUICE_KERNELS_ENCODINGS_BLOCK32_LAYOUT_H_
#define SLUICE_KERNELS_ENCODINGS_BLOCK32_LAYOUT_H_

#include <cstddef>
#include <cstdint>

#include "kernels/encodings/codec.h"

namespace sluice {

// Swaps the bits that `lower` selects with those `shift` places above them.
inline uint32_t SwapBits(uint32_t x, int shift, uint32_t lower) {
  const uint32_t changed = (x >> shift ^ x) & lower;
  return x ^ changed ^ changed << shift;
}

// Even bits to the lower half, odd bits to the upper half, in order; and back.
inline uint32_t Unshuffle(uint32_t x) {
  x = SwapBits(x, 1, 0x22222222u);
  x = SwapBits(x, 2, 0x0C0C0C0Cu);
  x = SwapBits(x, 4, 0x00F000F0u);
  return SwapBits(x, 8, 0x0000FF00u);
}
inline uint32_t Shuffle(uint32_t x) {
  x = SwapBits(x, 8, 0x0000FF00u);
  x = SwapBits(x, 4, 0x00F000F0u);
  x = SwapBits(x, 2, 0x0C0C0C0Cu);
  return SwapBits(x, 1, 0x22222222u);
}

template <int kHeadBytes, bool kFifthBits>
struct Block32Layout {
  static constexpr int kValues = 32;
  static constexpr int kGroupValues = 256;
  static constexpr int kHead = kHeadBytes;
  static constexpr int kFifthOffset = kHeadBytes;
  static constexpr int kQuantsOffset = kHeadBytes + (kFifthBits ? 4 : 0);
  static constexpr int kBytes = kQuantsOffset + 16;
  static constexpr int kLines = 4;  // of a block in the plane of quants

  // Value v's quant in a block.
  static int Quant(const std::byte* block, int v) {
    const int pair = static_cast<int>(block[kQuantsOffset + v % 16]);
    int quant = v < 16 ? pair & 15 : pair >> 4;
    if constexpr (kFifthBits) quant |= static_cast<int>(Load32(block + kFifthOffset) >> v & 1) << 4;
    return quant;
  }

  // Writes fifth bits and nibbles of 32 quants.
  static void StoreQuants(const uint8_t* quants, std::byte* block) {
    if constexpr (kFifthBits) {
      uint32_t fifth = 0;
      for (int v = 0; v < kValues; ++v) fifth |= static_cast<uint32_t>(quants[v] >> 4) << v;
      Store32(fifth, block + kFifthOffset);
    }
    for (int v = 0; v < 16; ++v) {
      block[kQuantsOffset + v] =
          static_cast<std::byte>((quants[v] & 15) | (quants[v + 16] & 15) << 4);
    }
  }

  static int64_t FifthPlane(int num_blocks) {
    return PadTo64(int64_t{num_blocks} * kHeadBytes * kTileRows);
  }
  static int64_t QuantsPlane(int num_blocks) {
    return FifthPlane(num_blocks) + (kFifthBits ? num_blocks * kLineBytes : 0);
  }
  static int64_t GroupBytes(int num_values) {
    const int num_blocks = num_values / kValues;
    return QuantsPlane(num_blocks) + num_blocks * kLines * kLineBytes;
  }

  static void PackLane(const std::byte* blocks, int num_values, int lane, std::byte* group) {
    const int num_blocks = num_values / kValues;
    std::byte* fifth = group + FifthPlane(num_blocks);
    std::byte* quants = group + QuantsPlane(num_blocks);
    for (int b = 0; b < num_blocks; ++b) {
      const std::byte* block = blocks + b * kBytes;
      if constexpr (kHeadBytes == 1) {
        group[b * kTileRows + lane] = block[0];
      } else {
        constexpr int kHalves = kHeadBytes / 2;
        for (int i = 0; i < kHalves; ++i) {
          Store16(Load16(block + 2 * i), Half(group, kHalves * b + i, lane));
        }
      }
      // Bit 4t + i becomes bit 8i + t: the two lowest bits of the place become its highest ones.
      if constexpr (kFifthBits) {
        Store32(Unshuffle(Unshuffle(Load32(block + kFifthOffset))), Word(fifth, b, lane));
      }
      // Word l of a block holds quads l and l + 4, values 4l + i and 16 + 4l + i: bytes 4l .. 4l +
      // 3 as they are.
      for (int l = 0; l < kLines; ++l) {
        Store32(Load32(block + kQuantsOffset + 4 * l), Word(quants, b * kLines + l, lane));
      }
    }
  }

  static void UnpackLane(const std::byte* group, int num_values, int lane, std::byte* blocks) {
    const int num_blocks = num_values / kValues;
    const std::byte* fifth = group + FifthPlane(num_blocks);
    const std::byte* quants = group + QuantsPlane(num_blocks);
    for (int b = 0; b < num_blocks; ++b) {
      std::byte* block = blocks + b * kBytes;
      if constexpr (kHeadBytes == 1) {
        block[0] = group[b * kTileRows + lane];
      } else {
        constexpr int kHalves = kHeadBytes / 2;
        for (int i = 0; i < kHalves; ++i) {
          Store16(Load16(Half(group, kHalves * b + i, lane)), block + 2 * i);
        }
      }
      if constexpr (kFifthBits) {
        Store32(Shuffle(Shuffle(Load32(Word(fifth, b, lane)))), block + kFifthOffset);
      }
      for (int l = 0; l < kLines; ++l) {
        Store32(Load32(Word(quants, b * kLines + l, lane)), block + kQuantsOffset + 4 * l);
      }
    }
  }
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_BLOCK32_LAYOUT_H_
