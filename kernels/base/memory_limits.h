// How much memory this process may take: what the machine, its cgroups and its ulimits leave it.
#ifndef SLUICE_KERNELS_BASE_MEMORY_LIMITS_H_
#define SLUICE_KERNELS_BASE_MEMORY_LIMITS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sluice {

struct MemoryLimit {
  std::string where;  // "on this machine", "in the cgroup /sys/fs/cgroup/x", "under ulimit -v"
  int64_t limit_bytes = 0;  // what there is altogether
  int64_t free_bytes = 0;  // of it, what nobody holds but for what the kernel takes back when it is
                           // needed: page cache and the like. Swap does not count.
};

// Of the machine (first), of each cgroup around this process that has a limit (memory.max or
// memory.high; of version 1 memory.limit_in_bytes or memory.memsw.limit_in_bytes), of a system that
// does not overcommit, and of ulimit -v and -d. `root` is put before every path that is read: ""
// for this system, a folder for tests, which then has no ulimits.
std::vector<MemoryLimit> ReadMemoryLimits(const std::string& root = "");

// The budget where no --max-ram is given.
struct DefaultBudget {
  int64_t bytes;
  std::string source;  // "80% of 400.0 MiB free in the cgroup /sys/fs/cgroup/x, limit 500.0 MiB"
};

// 80% of what is free where least is. `limits` is not empty.
DefaultBudget DefaultBudgetOf(const std::vector<MemoryLimit>& limits);

// One line for a budget that is more than a limit, or than what is free of it now; nothing where it
// fits.
std::optional<std::string> BudgetWarning(int64_t max_ram_bytes,
                                         const std::vector<MemoryLimit>& limits);

}  // namespace sluice

#endif  // SLUICE_KERNELS_BASE_MEMORY_LIMITS_H_
