// Compares getrlimit(2), /proc/self/status and the cgroups' pids files with what was asked for.
#include "kernels/base/process_limits.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernels/base/cgroup.h"

namespace sluice {
namespace {

constexpr char kOwnStatus[] = "/proc/self/status";

std::optional<int64_t> FiniteLimit(__rlimit_resource resource) {
  rlimit limit;
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur > static_cast<rlim_t>(INT64_MAX))
    return std::nullopt;
  return static_cast<int64_t>(limit.rlim_cur);
}

std::optional<MemoryUlimit> MemoryUlimitOf(const char* flag, __rlimit_resource resource,
                                           const char* used_key) {
  const std::optional<int64_t> limit = FiniteLimit(resource);
  if (!limit.has_value()) return std::nullopt;
  return MemoryUlimit{flag, *limit, ReadProcKib(kOwnStatus, used_key).value_or(0)};
}

std::string MiB(int64_t bytes) { return absl::StrCat(bytes >> 20, " MiB"); }

}  // namespace

std::optional<MemoryUlimit> AddressSpaceUlimit() {
  return MemoryUlimitOf("-v", RLIMIT_AS, "VmSize:");
}

std::optional<MemoryUlimit> DataUlimit() { return MemoryUlimitOf("-d", RLIMIT_DATA, "VmData:"); }

std::optional<int64_t> ReadProcKib(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!absl::StartsWith(line, key)) continue;
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    int64_t kib;
    if (words.size() >= 2 && absl::SimpleAtoi(words[1], &kib)) return kib * 1024;
  }
  return std::nullopt;
}

std::optional<MemoryUlimit> CommitLimit(const std::string& root) {
  if (ReadCgroupNumber(root + "/proc/sys/vm/overcommit_memory") != 2) return std::nullopt;
  const std::optional<int64_t> limit = ReadProcKib(root + "/proc/meminfo", "CommitLimit:");
  if (!limit.has_value()) return std::nullopt;
  return MemoryUlimit{"", *limit, ReadProcKib(root + "/proc/meminfo", "Committed_AS:").value_or(0)};
}

std::string DescribeMemoryLimit(int64_t bytes) {
  for (const std::optional<MemoryUlimit>& ulimit : {AddressSpaceUlimit(), DataUlimit()}) {
    if (!ulimit.has_value() || ulimit->limit_bytes - ulimit->used_bytes > bytes) continue;
    return absl::StrCat("ulimit ", ulimit->flag, " is ", MiB(ulimit->limit_bytes), ", ",
                        MiB(ulimit->used_bytes), " are taken: raise it");
  }
  const std::optional<MemoryUlimit> commit = CommitLimit("");
  if (commit.has_value() && commit->limit_bytes - commit->used_bytes <= bytes) {
    return absl::StrCat("vm.overcommit_memory is 2, and all processes may take ",
                        MiB(commit->limit_bytes), ", of which ", MiB(commit->used_bytes),
                        " are taken: raise vm.overcommit_ratio");
  }
  return "";
}

std::string DescribeThreadLimit(int64_t stack_bytes) {
  for (const Cgroup& group : FindCgroups("", "pids")) {
    const std::optional<int64_t> most = ReadCgroupNumber(group.dir + "/pids.max");
    const std::optional<int64_t> now = ReadCgroupNumber(group.dir + "/pids.current");
    if (!most.has_value() || !now.has_value() || *now < *most) continue;
    return absl::StrCat("the cgroup ", group.dir, " has ", *now,
                        " processes and threads, its pids.max is ", *most,
                        ": raise it (docker --pids-limit, systemd TasksMax)");
  }
  if (const std::string memory = DescribeMemoryLimit(stack_bytes + stack_bytes / 8);
      !memory.empty())
    return memory;
  // It counts the threads of all processes of a user, and not root's.
  if (const std::optional<int64_t> most = FiniteLimit(RLIMIT_NPROC);
      most.has_value() && getuid() != 0) {
    return absl::StrCat("ulimit -u is ", *most, ": raise it");
  }
  return "raise pids.max of the cgroup (docker --pids-limit, systemd TasksMax), ulimit -u, ulimit "
         "-v or "
         "kernel.threads-max";
}

}  // namespace sluice
