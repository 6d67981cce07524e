// Blocks of 32 values with 4 or 5 bits each, and the planes that their parts go to in a tile's
// lane.
//
// A block: kHeadBytes of scales (d, or d and m, f16 each; or one byte), 4 bytes of fifth bits where
// there are some (bit v belongs to value v), then 16 bytes of which byte i holds the low 4 bits of
// value i (low nibble) and value i + 16 (high nibble).
#ifndef SLUICE_KERNELS_ENCODINGS_BLOCK32_LAYOUT_H_
#define SLUICE_KERNELS_ENCODINGS_BLOCK32_LAYOUT_H_

#include <cstddef>
#include <cstdint>

#include "kernels/encodings/block32_search.h"
#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/planes.h"

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

template <class P>
struct Block32Layout {
  static constexpr bool kFifthBits = P::kExtraLines == 1;
  static constexpr int kFifthOffset = P::kHeadBytes;
  static constexpr int kQuantsOffset = kFifthOffset + (kFifthBits ? 4 : 0);
  static_assert(P::kBlockValues == 32 && kQuantsOffset + 16 == P::kBlockBytes);

  // Reads fifth bits and nibbles of 32 quants.
  static void LoadQuants(const std::byte* block, uint8_t* quants) {
    for (int v = 0; v < 16; ++v) {
      const int pair = static_cast<int>(block[kQuantsOffset + v]);
      quants[v] = static_cast<uint8_t>(pair & 15);
      quants[v + 16] = static_cast<uint8_t>(pair >> 4);
    }
    if constexpr (kFifthBits) {
      const uint32_t fifth = Load32(block + kFifthOffset);
      for (int v = 0; v < P::kBlockValues; ++v) quants[v] |= (fifth >> v & 1) << 4;
    }
  }

  // Writes fifth bits and nibbles of 32 quants.
  static void StoreQuants(const uint8_t* quants, std::byte* block) {
    if constexpr (kFifthBits) {
      uint32_t fifth = 0;
      for (int v = 0; v < P::kBlockValues; ++v) fifth |= static_cast<uint32_t>(quants[v] >> 4) << v;
      Store32(fifth, block + kFifthOffset);
    }
    for (int v = 0; v < 16; ++v) {
      block[kQuantsOffset + v] =
          static_cast<std::byte>((quants[v] & 15) | (quants[v + 16] & 15) << 4);
    }
  }

  static void Pack(const std::byte* block, const BlockPlanes<std::byte>& planes, int lane) {
    if constexpr (P::kHeadBytes == 1) {
      planes.head[lane] = block[0];
    } else {
      for (int i = 0; i < P::kHeadBytes / 2; ++i) {
        Store16(Load16(block + 2 * i), Half(planes.head, i, lane));
      }
    }
    // Bit 4t + i becomes bit 8i + t: the two lowest bits of the place become its highest ones.
    if constexpr (kFifthBits) {
      Store32(Unshuffle(Unshuffle(Load32(block + kFifthOffset))), Word(planes.extra, 0, lane));
    }
    // Word l of a block holds quads l and l + 4, values 4l + i and 16 + 4l + i: bytes 4l .. 4l + 3
    // as they are.
    for (int l = 0; l < P::kQuantLines; ++l) {
      Store32(Load32(block + kQuantsOffset + 4 * l), Word(planes.quants, l, lane));
    }
  }

  static void Unpack(const BlockPlanes<const std::byte>& planes, int lane, std::byte* block) {
    if constexpr (P::kHeadBytes == 1) {
      block[0] = planes.head[lane];
    } else {
      for (int i = 0; i < P::kHeadBytes / 2; ++i) {
        Store16(Load16(Half(planes.head, i, lane)), block + 2 * i);
      }
    }
    if constexpr (kFifthBits) {
      Store32(Shuffle(Shuffle(Load32(Word(planes.extra, 0, lane)))), block + kFifthOffset);
    }
    for (int l = 0; l < P::kQuantLines; ++l) {
      Store32(Load32(Word(planes.quants, l, lane)), block + kQuantsOffset + 4 * l);
    }
  }
};

// Blocks with d, or d and m, ahead, in which `kSearch` finds scales and quants.
template <class P, SearchBlocks32 kSearch>
struct ScaledBlocks32 : Block32Layout<P> {
  using Layout = Block32Layout<P>;

  static void Decode(const std::byte* block, float* values) {
    const float d = half::F16ToF32(Load16(block));
    const float m = P::kMinima ? half::F16ToF32(Load16(block + 2)) : 0;
    uint8_t quants[P::kBlockValues];
    Layout::LoadQuants(block, quants);
    for (int v = 0; v < P::kBlockValues; ++v) {
      if constexpr (P::kHasBook) {
        values[v] = d * P::kBook[quants[v]];
      } else if constexpr (P::kMinima) {
        values[v] = d * quants[v] + m;
      } else {
        values[v] = d * (quants[v] - P::kOffset);
      }
    }
  }

  static void EncodeRow(const float* values, int64_t num_values, std::byte* blocks) {
    EachBlock32(kSearch, values, num_values, [&](int64_t b, const Block32& found) {
      std::byte* block = blocks + b * P::kBlockBytes;
      Store16(found.d, block);
      if constexpr (P::kMinima) Store16(found.m, block + 2);
      Layout::StoreQuants(found.quants, block);
    });
  }
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_BLOCK32_LAYOUT_H_
