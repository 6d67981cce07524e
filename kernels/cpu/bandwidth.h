// Measures how fast the compute threads can read memory: the limit of a decoding step.
#ifndef SLUICE_KERNELS_CPU_BANDWIDTH_H_
#define SLUICE_KERNELS_CPU_BANDWIDTH_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "kernels/cpu/thread_pool.h"

namespace sluice {

// Bytes a second that the pool's threads together read from a buffer of `buffer_bytes` (several
// times the last-level cache, in huge pages where the system gives them), which is read `rounds`
// times. The best slice of 32 MiB counts: other programs on the machine can only make one slower.
// Returns 0 where the buffer cannot be allocated.
double MeasureReadBandwidth(ThreadPool& pool, int64_t buffer_bytes = int64_t{512} << 20,
                            int rounds = 5);

// Bytes a second of reading `memory` once with the pool's threads; whole lines of 64 bytes count.
double ReadThrough(ThreadPool& pool, absl::Span<const std::byte> memory);

}  // namespace sluice

#endif  // SLUICE_KERNELS_CPU_BANDWIDTH_H_
