// How a quantized activation row lies in memory: one group of 352 bytes per 256 values of K.
//
// A product reads one stream a token: the quants of 256 values, then what belongs to them. Values
// beyond K are zeros. The sums are the quants' (kernels/encodings/planes.h: offsets come off
// through them), in the order in which a pair of 16-bit sums meets a pair of scales or minima
// without a shuffle.
#ifndef SLUICE_KERNELS_ENCODINGS_ACTIVATION_LAYOUT_H_
#define SLUICE_KERNELS_ENCODINGS_ACTIVATION_LAYOUT_H_

#include <stdint.h>

namespace sluice {

// kInt8Block32: for encodings in blocks of 32, and for q6_k.
struct ActivationGroup32 {
  int8_t quants[256];
  float scales[8];
  int32_t minus_sums[8];     // -(sum of the block's quants)
  int16_t minus_sums16[16];  // -(sum of 16 quants)
};

// kInt8Block256: for encodings in super-blocks of 256.
struct ActivationGroup256 {
  int8_t quants[256];
  int16_t sums16[16];  // of 16 quants each; four at a time in the order 0, 2, 1, 3
  int16_t sums32[8];   // of 32 quants each; four at a time in the order 0, 2, 1, 3
  float scale;
  int32_t unused[11];
};

static_assert(sizeof(ActivationGroup32) == 352 && sizeof(ActivationGroup256) == 352);

// Where sum i of sums16 or sums32 stands: bytes i and i + 2 of a word of scales are neighbours once
// the odd bytes are masked off.
inline constexpr int kSumPlace[4] = {0, 2, 1, 3};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_ACTIVATION_LAYOUT_H_
