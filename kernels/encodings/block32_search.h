// Finds scales and quants of blocks of 32 values so that the squared error is small.
//
// Four blocks at a time, one a vector lane (lanes.h): f32 arithmetic in a fixed order, so that the
// result depends neither on the instruction set nor on a block's neighbours.
#ifndef SLUICE_KERNELS_ENCODINGS_BLOCK32_SEARCH_H_
#define SLUICE_KERNELS_ENCODINGS_BLOCK32_SEARCH_H_

#include <algorithm>
#include <cstdint>
#include <cstring>

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

// Calls store(b, found) for each block b of a row.
template <class Store>
void EachBlock32(SearchBlocks32 search, const float* values, int64_t num_values,
                 const Store& store) {
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
    search(x, found);
    for (int i = 0; i < n; ++i) store(b + i, found[i]);
  }
}

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_BLOCK32_SEARCH_H_
