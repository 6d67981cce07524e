// How much memory there is to take, and how much was taken.
#ifndef SLUICE_TOOLS_SYSTEM_MEMORY_H_
#define SLUICE_TOOLS_SYSTEM_MEMORY_H_

#include <cstdint>

namespace sluice {

// 80% of the smaller of /proc/meminfo's MemAvailable and what is left of the cgroup's limit (v2 or v1).
int64_t DefaultMaxRamBytes();

// The largest resident set that this process has had since it was executed.
int64_t PeakRssBytes();

// The resident set of this process now.
int64_t RssBytes();

// CPUs this process may run on, at least 1.
int AvailableCpus();

}  // namespace sluice

#endif  // SLUICE_TOOLS_SYSTEM_MEMORY_H_
