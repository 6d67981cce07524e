// Measures how many operations a second the compute threads can do at most: registers only.
#ifndef SLUICE_BENCH_PEAK_PEAK_H_
#define SLUICE_BENCH_PEAK_PEAK_H_

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_pool.h"

namespace sluice {

// Multiplications and additions a second of all threads together in independent chains, with the
// instruction that the products of `isa` are made of: int8 dot products (`quantized`), else f32
// fma. The best of many attempts of less than a millisecond. `isa` must be supported.
double MeasurePeakOps(ThreadPool& pool, Isa isa, bool quantized);
// The same with dot products of bf16 pairs. RoundsActivations(isa) must be true.
double MeasurePeakRoundedOps(ThreadPool& pool, Isa isa);

}  // namespace sluice

#endif  // SLUICE_BENCH_PEAK_PEAK_H_
