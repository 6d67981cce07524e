// Finds scales and quants of blocks of 32 values so that the squared error is small.
//
// Four blocks at a time, one a vector lane (lanes.h): f32 arithmetic in a fixed order, so that the
// result depends neither on the instruction set nor on a block's neighbours.
#ifndef SLUICE_KERNELS_ENCODINGS_BLOCK32_SEARCH_H_
#define SLUICE_KERNELS_ENCODINGS_BLOCK32_SEARCH_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/encodings/codec.h"
#include "kernels/encodings/lanes.h"

namespace sluice {

inline constexpr int kBlock32Values = 32;

struct Block32 {
  uint16_t d, m;  // f16; m only where there is an offset
  uint8_t quants[kBlock32Values];
};

// `x` is four blocks of 32 values, one after the other. A block with a value that is not finite
// gets a d that is NaN.
using SearchBlocks32 = void (*)(const float* x, Block32 (&blocks)[kNumLanes]);

// value = d * (quant - half), half 8 or 16.
template <int kHalf>
void SearchSymmetric32(const float* x, Block32 (&blocks)[kNumLanes]);
// value = d * quant + m, quants up to 15 or 31.
template <int kMaxQuant>
void SearchAffine32(const float* x, Block32 (&blocks)[kNumLanes]);
// value = d * kIq4Values[quant].
void SearchIq4Block32(const float* x, Block32 (&blocks)[kNumLanes]);

// The encoder of a codec whose blocks are a Block32Layout with d, or d and m, ahead.
template <class Layout, SearchBlocks32 kSearch>
void EncodeBlocks32(const float* values, int64_t num_values, std::byte* blocks) {
  const int64_t num_blocks = num_values / kBlock32Values;
  for (int64_t b = 0; b < num_blocks; b += kNumLanes) {
    const float* x = values + b * kBlock32Values;
    const int n = static_cast<int>(std::min<int64_t>(kNumLanes, num_blocks - b));
    float padded[kNumLanes * kBlock32Values] = {};
    if (n < kNumLanes) {
      std::memcpy(padded, x, n * kBlock32Values * sizeof(float));
      x = padded;
    }
    Block32 found[kNumLanes];
    kSearch(x, found);
    for (int i = 0; i < n; ++i) {
      std::byte* block = blocks + (b + i) * Layout::kBytes;
      Store16(found[i].d, block);
      if constexpr (Layout::kHead == 4) Store16(found[i].m, block + 2);
      Layout::StoreQuants(found[i].quants, block);
    }
  }
}

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_BLOCK32_SEARCH_H_
