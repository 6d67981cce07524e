// The peak loops of AVX2.
#include "bench/peak/peak_loops.h"

#if defined(__x86_64__)
#include "bench/peak/peak_simd.h"

namespace sluice {

const PeakLoop kAvx2PeakInt8 = avx2::PeakInt8;
const PeakLoop kAvx2PeakF32 = avx2::PeakF32;

}  // namespace sluice
#endif
