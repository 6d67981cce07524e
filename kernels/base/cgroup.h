// Finds the control groups that this process is in, whose files say how much memory and how many
// threads it may have.
#ifndef SLUICE_KERNELS_BASE_CGROUP_H_
#define SLUICE_KERNELS_BASE_CGROUP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice {

struct Cgroup {
  std::string dir;  // "/sys/fs/cgroup/system.slice/x.scope"
  bool v2;          // the unified hierarchy; its files have other names than those of version 1
};

// The group that holds this process and the groups around it, innermost first, in every mounted
// hierarchy that has `controller` ("memory", "pids"): of version 1, of version 2, or of both. A
// limit of any of them holds. Version 2 does not say here whether it has the controller: then the
// files are missing. `root` is put before every path that is read: "" for this system, a folder for
// tests.
std::vector<Cgroup> FindCgroups(const std::string& root, absl::string_view controller);

// The number that a file of one number holds. Nothing: there is no such file, or it holds a word
// ("max").
std::optional<int64_t> ReadCgroupNumber(const std::string& path);

}  // namespace sluice

#endif  // SLUICE_KERNELS_BASE_CGROUP_H_
