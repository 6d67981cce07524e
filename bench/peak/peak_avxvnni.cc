// The peak loops of AVX-VNNI.
#include "bench/peak/peak_loops.h"

#if defined(__x86_64__)
#include "bench/peak/peak_simd.h"

namespace sluice {

const PeakLoop kAvxVnniPeakInt8 = avxvnni::PeakInt8;
const PeakLoop kAvxVnniPeakF32 = avxvnni::PeakF32;

}  // namespace sluice
#endif
