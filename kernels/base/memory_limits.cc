// Reads /proc/meminfo and the cgroups' files (the kernel's Documentation/admin-guide/cgroup-v2.rst
// and cgroup-v1/memory.rst).
#include "kernels/base/memory_limits.h"

#include <sys/sysinfo.h>

#include <algorithm>
#include <fstream>
#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "kernels/base/cgroup.h"
#include "kernels/base/format_bytes.h"
#include "kernels/base/process_limits.h"

namespace sluice {
namespace {

// Version 1 writes a number near 2^63 for "no limit".
constexpr int64_t kNoCgroupLimit = int64_t{1} << 60;

MemoryLimit MachineMemory(const std::string& root) {
  const std::string meminfo = root + "/proc/meminfo";
  const auto of = [&](const char* key) { return ReadProcKib(meminfo, key); };
  MemoryLimit machine = {"on this machine", of("MemTotal:").value_or(0),
                         of("MemAvailable:").value_or(0)};
  if (machine.free_bytes == 0) {  // before Linux 3.14
    machine.free_bytes =
        of("MemFree:").value_or(0) + of("Buffers:").value_or(0) + of("Cached:").value_or(0);
  }
  struct sysinfo info;
  if (machine.limit_bytes == 0 && sysinfo(&info) == 0) {  // no /proc
    machine.limit_bytes = static_cast<int64_t>(info.totalram) * info.mem_unit;
    machine.free_bytes = static_cast<int64_t>(info.freeram + info.bufferram) * info.mem_unit;
  }
  return machine;
}

// The sum of the lines "KEY NUMBER" of a memory.stat that begin with one of `keys`; nothing where
// it has none of them.
std::optional<int64_t> SumOfStat(const std::string& path, std::initializer_list<const char*> keys) {
  std::ifstream file(path);
  std::optional<int64_t> sum;
  std::string key;
  for (int64_t value; file >> key >> value;) {
    const bool counts =
        std::any_of(keys.begin(), keys.end(), [&](const char* wanted) { return key == wanted; });
    if (counts) sum = sum.value_or(0) + value;
  }
  return sum;
}

// Of a group's usage, what the kernel takes back before it refuses memory: pages of files, whether
// read or waiting to be written, and what it keeps of names and inodes. tmpfs and shared memory are
// not among these lists.
int64_t ReclaimableBytes(const std::string& root, const Cgroup& group) {
  const std::string stat = root + group.dir + "/memory.stat";
  if (group.v2)
    return SumOfStat(stat, {"inactive_file", "active_file", "slab_reclaimable"}).value_or(0);
  // Without the prefix, version 1 counts the group alone, and usage_in_bytes the groups in it, too.
  const std::optional<int64_t> total =
      SumOfStat(stat, {"total_inactive_file", "total_active_file"});
  return total.has_value() ? *total : SumOfStat(stat, {"inactive_file", "active_file"}).value_or(0);
}

// `outermost`: no group around this one can be seen.
void AddCgroupLimits(const std::string& root, const Cgroup& group, bool outermost,
                     std::vector<MemoryLimit>* limits) {
  const auto number = [&](const char* file) {
    return ReadCgroupNumber(absl::StrCat(root, group.dir, "/", file));
  };
  const auto add = [&](std::optional<int64_t> limit, std::optional<int64_t> usage) {
    if (!limit.has_value() || *limit >= kNoCgroupLimit) return;
    const int64_t held = std::max<int64_t>(0, usage.value_or(0) - ReclaimableBytes(root, group));
    limits->push_back(
        {absl::StrCat("in the cgroup ", group.dir), *limit, std::max<int64_t>(0, *limit - held)});
  };
  if (group.v2) {
    add(number("memory.max"), number("memory.current"));
    add(number("memory.high"),
        number("memory.current"));  // above it the kernel slows the process down to a crawl
    return;
  }
  add(number("memory.limit_in_bytes"), number("memory.usage_in_bytes"));
  add(number("memory.memsw.limit_in_bytes"), number("memory.memsw.usage_in_bytes"));
  // Of the groups above the mount, which a container does not see.
  if (!outermost) return;
  add(SumOfStat(root + group.dir + "/memory.stat", {"hierarchical_memory_limit"}),
      number("memory.usage_in_bytes"));
}

const MemoryLimit& LeastOf(const std::vector<MemoryLimit>& limits, int64_t MemoryLimit::*bytes) {
  return *std::min_element(
      limits.begin(), limits.end(),
      [&](const MemoryLimit& a, const MemoryLimit& b) { return a.*bytes < b.*bytes; });
}

}  // namespace

std::vector<MemoryLimit> ReadMemoryLimits(const std::string& root) {
  std::vector<MemoryLimit> limits = {MachineMemory(root)};
  const std::vector<Cgroup> groups = FindCgroups(root, "memory");
  for (size_t i = 0; i < groups.size(); ++i) {
    const bool outermost = i + 1 == groups.size() || groups[i + 1].v2 != groups[i].v2;
    AddCgroupLimits(root, groups[i], outermost, &limits);
  }
  if (const std::optional<MemoryUlimit> commit = CommitLimit(root); commit.has_value()) {
    limits.push_back({"under vm.overcommit_memory=2", commit->limit_bytes,
                      std::max<int64_t>(0, commit->limit_bytes - commit->used_bytes)});
  }
  if (!root.empty()) return limits;
  for (const std::optional<MemoryUlimit>& ulimit : {AddressSpaceUlimit(), DataUlimit()}) {
    if (!ulimit.has_value()) continue;
    limits.push_back({absl::StrCat("under ulimit ", ulimit->flag), ulimit->limit_bytes,
                      std::max<int64_t>(0, ulimit->limit_bytes - ulimit->used_bytes)});
  }
  return limits;
}

DefaultBudget DefaultBudgetOf(const std::vector<MemoryLimit>& limits) {
  const MemoryLimit& least = LeastOf(limits, &MemoryLimit::free_bytes);
  return {least.free_bytes / 10 * 8,
          absl::StrCat("80% of ", FormatBytes(least.free_bytes), " free ", least.where, ", limit ",
                       FormatBytes(least.limit_bytes))};
}

std::optional<std::string> BudgetWarning(int64_t max_ram_bytes,
                                         const std::vector<MemoryLimit>& limits) {
  const auto warning = [&](const std::string& less) {
    return absl::StrCat("--max-ram ", FormatBytes(max_ram_bytes), " is more than the ", less,
                        ": the system may kill sluice when memory runs out");
  };
  const MemoryLimit& smallest = LeastOf(limits, &MemoryLimit::limit_bytes);
  if (max_ram_bytes > smallest.limit_bytes) {
    return warning(absl::StrCat(FormatBytes(smallest.limit_bytes), " there are ", smallest.where));
  }
  const MemoryLimit& tightest = LeastOf(limits, &MemoryLimit::free_bytes);
  if (max_ram_bytes <= tightest.free_bytes) return std::nullopt;
  return warning(absl::StrCat(FormatBytes(tightest.free_bytes), " free ", tightest.where,
                              ", limit ", FormatBytes(tightest.limit_bytes)));
}

}  // namespace sluice
