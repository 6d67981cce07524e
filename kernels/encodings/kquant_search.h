// Finds scales and quants of a k-quant super-block so that the squared error is small.
//
// All of it is f32 arithmetic in a fixed order, one sub-block a vector lane, so that the result
// does not depend on the instruction set.
#ifndef SLUICE_KERNELS_ENCODINGS_KQUANT_SEARCH_H_
#define SLUICE_KERNELS_ENCODINGS_KQUANT_SEARCH_H_

#include <cstdint>

namespace sluice {

inline constexpr int kSuperBlockValues = 256;

// value v = d * scales[v / n] * quants[v] - dmin * mins[v / n], n values a sub-block.
struct AffineFormat {
  int sub_block_values;  // 16 or 32
  int max_quant;         // quants go from 0 to it
  int max_scale;         // scales and mins go from 0 to it
};
struct AffineSuperBlock {
  uint16_t d, dmin;              // f16
  uint8_t scales[16], mins[16];  // as many as there are sub-blocks
  uint8_t quants[kSuperBlockValues];
};

// value v = d * scales[v / 16] * (quants[v] - half), or, for iq4_xs,
// value v = d * scales[v / 32] * kIq4Values[quants[v]].
struct SymmetricSuperBlock {
  uint16_t d;         // f16
  int8_t scales[16];  // as many as there are sub-blocks
  uint8_t quants[kSuperBlockValues];
};

// `x` has 256 values. If one of them is not finite, the block decodes to NaN.
AffineSuperBlock QuantizeAffine(const float* x, const AffineFormat& format);
SymmetricSuperBlock QuantizeQ6(const float* x);   // half 32, scales from -128 to 127
SymmetricSuperBlock QuantizeQ3(const float* x);   // half 4, scales from -32 to 31
SymmetricSuperBlock QuantizeIq4(const float* x);  // scales from -32 to 31

}  // namespace sluice

#endif  // SLUICE_KERNELS_ENCODINGS_KQUANT_SEARCH_H_
