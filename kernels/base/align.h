// Rounding up to alignments and to multiples.
#ifndef SLUICE_KERNELS_BASE_ALIGN_H_
#define SLUICE_KERNELS_BASE_ALIGN_H_

#include <cstdint>

namespace sluice {

// The smallest multiple of `multiple` (above 0) that is not less than `value` (0 or more).
constexpr int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace sluice

#endif  // SLUICE_KERNELS_BASE_ALIGN_H_
