// Finds numbers that are no numbers.
#ifndef SLUICE_KERNELS_FINITE_H_
#define SLUICE_KERNELS_FINITE_H_

#include <cstddef>

#include "absl/types/span.h"

namespace sluice {

// Whether no value is NaN or infinite. 0 * x is 0 for those and NaN for the others; several sums at
// once let the compiler use vectors.
inline bool AllFinite(absl::Span<const float> values) {
  float sums[16] = {};
  size_t i = 0;
  for (; i + 16 <= values.size(); i += 16) {
    for (int lane = 0; lane < 16; ++lane) sums[lane] += values[i + lane] * 0.0f;
  }
  for (; i < values.size(); ++i) sums[0] += values[i] * 0.0f;
  float total = 0;
  for (const float sum : sums) total += sum;
  return total == 0;
}

}  // namespace sluice

#endif  // SLUICE_KERNELS_FINITE_H_
