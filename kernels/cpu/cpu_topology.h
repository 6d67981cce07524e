// Which CPUs there are, and in which order compute threads should take them.
#ifndef SLUICE_KERNELS_CPU_CPU_TOPOLOGY_H_
#define SLUICE_KERNELS_CPU_CPU_TOPOLOGY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

// One CPU as the system counts them, that is one hardware thread.
struct CpuPlace {
  int cpu;
  int core;  // the same for SMT siblings
  int node;  // NUMA node
};

// The CPUs that this process may run on, ascending.
std::vector<int> AllowedCpus();

// The places of `cpus` as `sysfs` ("/sys/devices/system") tells them. What it does not tell: a core
// of its own, on node 0.
std::vector<CpuPlace> ReadCpuPlaces(const std::string& sysfs, const std::vector<int>& cpus);

int CountCores(const std::vector<CpuPlace>& places);

// One CPU of each core before the siblings, and the nodes in turn, so that the first N threads have
// as many cores and memory controllers to themselves as there are.
std::vector<int> ComputeOrder(const std::vector<CpuPlace>& places);

// "0-3", "2", "0-3,8-11"; ascending, without doubles. InvalidArgument: anything else, or above
// 8191.
absl::StatusOr<std::vector<int>> ParseCpuRange(absl::string_view text);
// "0xff", "f0": bit i stands for CPU i.
absl::StatusOr<std::vector<int>> ParseCpuMask(absl::string_view text);

// Restricts the calling thread. Unavailable: the system refuses, as it does for CPUs that there are
// not.
absl::Status RunOnCpus(const std::vector<int>& cpus);

}  // namespace sluice

#endif  // SLUICE_KERNELS_CPU_CPU_TOPOLOGY_H_
