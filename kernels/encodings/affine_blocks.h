// Super-blocks of q4_k and q5_k: 8 sub-blocks of 32 values. d (f16), dmin (f16), 12 bytes of 6-bit
// scales and mins (kquant_layout.h), for q5_k 32 bytes of fifth bits (bit s of byte i: bit 4 of
// value i of sub-block s), then 128 bytes of which byte 32j + i holds the low 4 bits of value i of
// sub-block 2j (low nibble) and of sub-block 2j + 1 (high nibble).
//
//   value = (d * scale) * q - dmin * min
#ifndef SLUICE_KERNELS_ENCODINGS_AFFINE_BLOCKS_H_
#define SLUICE_KERNELS_ENCODINGS_AFFINE_BLOCKS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/encodings/codec.h"
#include "kernels/encodings/half.h"
#include "kernels/encodings/kquant_layout.h"
#include "kernels/encodings/kquant_search.h"
#include "kernels/encodings/planes.h"

namespace sluice {

template <class P>
struct AffineBlocks {
  static constexpr int kFifthOffset = P::kHeadBytes + kScaleBytes;
  static constexpr int kQuantsOffset = kFifthOffset + (P::kExtraBits > 0 ? kBitsBytes : 0);
  static constexpr int kPairs = 4;  // of sub-blocks
  static constexpr int kPairBytes = 32;
  static_assert(kQuantsOffset + kPairs * kPairBytes == P::kBlockBytes);

  static void Decode(const std::byte* block, float* values) {
    const float d = half::F16ToF32(Load16(block)), dmin = half::F16ToF32(Load16(block + 2));
    const ScaleWords words = LoadScales(block + P::kHeadBytes);
    for (int s = 0; s < 8; ++s) {
      const float scale = d * SubBlockByte(words.scales, s),
                  min = dmin * SubBlockByte(words.mins, s);
      const std::byte* pair = block + kQuantsOffset + s / 2 * kPairBytes;
      for (int v = 0; v < 32; ++v) {
        int q = static_cast<int>(pair[v]) >> 4 * (s % 2) & 15;
        if constexpr (P::kExtraBits > 0) {
          q |= (static_cast<int>(block[kFifthOffset + v]) >> s & 1) << 4;
        }
        values[32 * s + v] = scale * q - min;
      }
    }
  }

  static void Encode(const float* values, std::byte* block) {
    constexpr AffineFormat kFormat = {
        .sub_block_values = 32, .max_quant = P::kExtraBits > 0 ? 31 : 15, .max_scale = 63};
    const AffineSuperBlock found = QuantizeAffine(values, kFormat);
    Store16(found.d, block);
    Store16(found.dmin, block + 2);
    ScaleWords words;
    std::memcpy(words.scales, found.scales, sizeof words.scales);
    std::memcpy(words.mins, found.mins, sizeof words.mins);
    StoreScales(words, block + P::kHeadBytes);
    if constexpr (P::kExtraBits > 0) StoreBits(found.quants, 4, block + kFifthOffset);
    for (int j = 0; j < kPairs; ++j) {
      const uint8_t* low = found.quants + 64 * j;
      std::byte* pair = block + kQuantsOffset + kPairBytes * j;
      for (int v = 0; v < 32; ++v) {
        pair[v] = static_cast<std::byte>((low[v] & 15) | (low[v + 32] & 15) << 4);
      }
    }
  }

  static void Pack(const std::byte* block, const BlockPlanes<std::byte>& planes, int lane) {
    Store16(Load16(block), Half(planes.head, 0, lane));
    Store16(Load16(block + 2), Half(planes.head, 1, lane));
    const ScaleWords words = LoadScales(block + P::kHeadBytes);
    const auto low = [](const uint32_t(&w)[2]) {
      return (w[0] & 0x0F0F0F0Fu) | (w[1] & 0x0F0F0F0Fu) << 4;
    };
    const auto high = [](const uint32_t(&w)[2]) {
      return (w[0] >> 4 & 0x03030303u) | (w[1] >> 4 & 0x03030303u) << 2;
    };
    Store32(low(words.scales), Word(planes.scales, 0, lane));
    Store32(low(words.mins), Word(planes.scales, 1, lane));
    Store32(high(words.scales) | high(words.mins) << 4, Word(planes.scales, 2, lane));
    if constexpr (P::kExtraBits > 0) PackBits(block + kFifthOffset, planes.extra, lane);
    for (int j = 0; j < kPairs; ++j) {
      PackNibbles(block + kQuantsOffset + kPairBytes * j, planes.quants, 8 * j, 8 * j + 4, lane);
    }
  }

  static void Unpack(const BlockPlanes<const std::byte>& planes, int lane, std::byte* block) {
    Store16(Load16(Half(planes.head, 0, lane)), block);
    Store16(Load16(Half(planes.head, 1, lane)), block + 2);
    const typename P::Factors factors =
        P::FactorsOf({Load32(Word(planes.scales, 0, lane)), Load32(Word(planes.scales, 1, lane)),
                      Load32(Word(planes.scales, 2, lane))},
                     0);
    StoreScales({.scales = {factors.scales[0], factors.scales[1]},
                 .mins = {factors.minima[0], factors.minima[1]}},
                block + P::kHeadBytes);
    if constexpr (P::kExtraBits > 0) UnpackBits(planes.extra, lane, block + kFifthOffset);
    for (int j = 0; j < kPairs; ++j) {
      UnpackNibbles(planes.quants, 8 * j, 8 * j + 4, lane, block + kQuantsOffset + kPairBytes * j);
    }
  }
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_AFFINE_BLOCKS_H_
