// Reads /proc.
#include "kernels/base/system_memory.h"

#include <sched.h>

#include <algorithm>

#include "kernels/base/process_limits.h"

namespace sluice {

int64_t PeakRssBytes() { return ReadProcKib("/proc/self/status", "VmHWM:").value_or(0); }

int64_t RssBytes() { return ReadProcKib("/proc/self/status", "VmRSS:").value_or(0); }

int AvailableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace sluice
