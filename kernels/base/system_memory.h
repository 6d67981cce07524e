// How much memory this process has taken, and its CPUs.
#ifndef SLUICE_KERNELS_BASE_SYSTEM_MEMORY_H_
#define SLUICE_KERNELS_BASE_SYSTEM_MEMORY_H_

#include <cstdint>

namespace sluice {

// The largest resident set that this process has had since it was executed.
int64_t PeakRssBytes();

// The resident set of this process now.
int64_t RssBytes();

// CPUs this process may run on, at least 1.
int AvailableCpus();

}  // namespace sluice

#endif  // SLUICE_KERNELS_BASE_SYSTEM_MEMORY_H_
