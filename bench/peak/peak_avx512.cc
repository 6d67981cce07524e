// The peak loops of AVX-512.
#include "bench/peak/peak_loops.h"

#if defined(__x86_64__)
#include "bench/peak/peak_simd.h"

namespace sluice {

const PeakLoop kAvx512PeakInt8 = avx512::PeakInt8;
const PeakLoop kAvx512PeakF32 = avx512::PeakF32;

}  // namespace sluice
#endif
