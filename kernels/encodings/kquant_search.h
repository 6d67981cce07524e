// Finds scales and quants of a k-quant super-block so that the squared error is small.
//
// All of it is f32 arithmetic in a fixed order, one sub-block a vector lane, so that the result
// does not depend on the instruction set.
#ifndef SLUICE_KERNELS_ENCODINGS_KQUANT_SEARCH_H_
#define SLUICE_KERNELS_ENCODINGS_KQUANT_SEARCH_H_

#include <cstdint>

namespace sluice {

inline constexpr int kSuperBlockValues = 256;

// value v = d * scales[v / 32] * quants[v] - dmin * mins[v / 32]; scales and mins have 6 bits.
struct AffineSuperBlock {
  uint16_t d, dmin;  // f16
  uint8_t scales[8], mins[8];
  uint8_t quants[kSuperBlockValues];
};

// value v = d * scales[v / 16] * (quants[v] - 32); quants have 6 bits.
struct SymmetricSuperBlock {
  uint16_t d;  // f16
  int8_t scales[16];
  uint8_t quants[kSuperBlockValues];
};

// `x` has 256 values, quants go from 0 to `max_quant` (15 or 31). If a value is not finite, the
// block decodes to NaN.
AffineSuperBlock QuantizeAffine(const float* x, int max_quant);
SymmetricSuperBlock QuantizeSymmetric(const float* x);

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_KQUANT_SEARCH_H_
