// Loops of multiply-adds in registers, one an instruction set and kind.
#ifndef SLUICE_BENCH_PEAK_PEAK_LOOPS_H_
#define SLUICE_BENCH_PEAK_PEAK_LOOPS_H_

#include <stdint.h>

namespace sluice {

// Runs `rounds` rounds and returns the multiplications and additions done.
using PeakLoop = int64_t (*)(int64_t rounds);

extern const PeakLoop kAvx2PeakInt8, kAvx2PeakF32;        // x86-64 only
extern const PeakLoop kAvxVnniPeakInt8, kAvxVnniPeakF32;  // x86-64 only
extern const PeakLoop kAvx512PeakInt8, kAvx512PeakF32;    // x86-64 only
extern const PeakLoop kAvx512PeakBF16;                    // x86-64 only
extern const PeakLoop kNeonPeakInt8, kNeonPeakF32;        // arm64 only

}  // namespace sluice

#endif  // SLUICE_BENCH_PEAK_PEAK_LOOPS_H_
