// The peak loops of NEON.
#include "bench/peak/peak_loops.h"

#if defined(__aarch64__)
#include "bench/peak/peak_simd.h"

namespace sluice {

const PeakLoop kNeonPeakInt8 = neon::PeakInt8;
const PeakLoop kNeonPeakF32 = neon::PeakF32;

}  // namespace sluice
#endif
