// What a nibble stands for in the encodings whose quants are indices. Plain data: files compiled
// for an instruction set of their own include it, too.
#ifndef SLUICE_KERNELS_ENCODINGS_CODEBOOKS_H_
#define SLUICE_KERNELS_ENCODINGS_CODEBOOKS_H_

#include <stdint.h>

namespace sluice {

// iq4_nl and iq4_xs.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

// mxfp4: floats of 4 bits (sign, 2 bits of exponent, 1 of mantissa), doubled.
inline constexpr int8_t kMxfp4Values[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                            0, -1, -2, -3, -4, -6, -8, -12};

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_CODEBOOKS_H_
