// Reads /proc/self/cgroup (cgroups(7)) and /proc/self/mountinfo (proc(5)).
#include "kernels/base/cgroup.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

struct CgroupMount {
  std::string root;   // the group that is mounted, seen from the namespace of this process: "/",
                      // "/docker/3f", "/.."
  std::string point;  // where
  bool v2;
};

bool HasWord(absl::string_view list, absl::string_view word) {
  const std::vector<absl::string_view> words = absl::StrSplit(list, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Spaces and the like are \040 and the like.
std::string UnescapeMountPath(absl::string_view text) {
  std::string path;
  for (size_t i = 0; i < text.size(); ++i) {
    int value = 0, digits = 0;
    while (text[i] == '\\' && digits < 3 && i + 1 + digits < text.size() &&
           text[i + 1 + digits] >= '0' && text[i + 1 + digits] <= '7') {
      value = 8 * value + (text[i + 1 + digits++] - '0');
    }
    path += digits == 3 ? static_cast<char>(value) : text[i];
    if (digits == 3) i += 3;
  }
  return path;
}

std::vector<CgroupMount> ListCgroupMounts(const std::string& root, absl::string_view controller) {
  std::vector<CgroupMount> mounts;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    // 36 35 0:30 /docker/3f /sys/fs/cgroup/memory rw,nosuid master:9 - cgroup cgroup rw,memory
    const std::vector<absl::string_view> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (halves.size() != 2) continue;
    const std::vector<absl::string_view> mount = absl::StrSplit(halves[0], ' ');
    const std::vector<absl::string_view> type = absl::StrSplit(halves[1], ' ');
    if (mount.size() < 5 || type.size() < 3) continue;
    const bool v2 = type[0] == "cgroup2";
    if (!v2 && (type[0] != "cgroup" || !HasWord(type[2], controller))) continue;
    mounts.push_back({UnescapeMountPath(mount[3]), UnescapeMountPath(mount[4]), v2});
  }
  if (mounts.empty()) {  // no mountinfo, or none that says so: where they usually are
    mounts.push_back({"/", "/sys/fs/cgroup", true});
    mounts.push_back({"/", absl::StrCat("/sys/fs/cgroup/", controller), false});
  }
  return mounts;
}

// Whether cgroup.procs lists this process.
bool HoldsThisProcess(const std::string& dir) {
  std::ifstream file(dir + "/cgroup.procs");
  for (int64_t pid; file >> pid;) {
    if (pid == getpid()) return true;
  }
  return false;
}

// The group `levels` below `below`, itself below `top`, in which `path` holds this process.
// Nothing: there is none.
std::optional<std::string> FindHiddenGroup(const std::string& top, const std::string& below,
                                           size_t levels, absl::string_view path) {
  if (levels == 0) {
    const std::string found = absl::StrCat(below, path);
    if (HoldsThisProcess(top + found)) return found;
    return std::nullopt;
  }
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(top + below, error)) {
    if (!entry.is_directory(error)) continue;
    const std::string name = entry.path().filename().string();
    if (auto found = FindHiddenGroup(top, absl::StrCat(below, "/", name), levels - 1, path))
      return found;
  }
  return std::nullopt;
}

// Where the group `path` lies below a mount of the group `root` at `top`: "" or "/a/b". Nothing:
// elsewhere.
std::optional<std::string> PathBelow(absl::string_view root, absl::string_view path,
                                     const std::string& top) {
  if (path == "/") path = "";
  if (root == "/") root = "";
  absl::string_view below = path;
  if (absl::ConsumePrefix(&below, root) && (below.empty() || below[0] == '/') &&
      !absl::StrContains(below, "/..")) {
    return std::string(below);
  }
  // A mount from outside of the namespace is around this process, too, but the names of the groups
  // between are hidden.
  const std::vector<absl::string_view> up = absl::StrSplit(root, '/', absl::SkipEmpty());
  const bool outside =
      std::all_of(up.begin(), up.end(), [](absl::string_view name) { return name == ".."; });
  if (up.empty() || !outside) return std::nullopt;
  return FindHiddenGroup(top, "", up.size(), path).value_or("");
}

void AddWithParents(const CgroupMount& mount, std::string below, std::vector<Cgroup>* groups) {
  for (;; below.resize(below.rfind('/'))) {
    const Cgroup group = {mount.point + below, mount.v2};
    if (std::none_of(groups->begin(), groups->end(),
                     [&](const Cgroup& g) { return g.dir == group.dir; })) {
      groups->push_back(group);
    }
    if (below.empty()) return;
  }
}

}  // namespace

std::vector<Cgroup> FindCgroups(const std::string& root, absl::string_view controller) {
  std::optional<std::string> v1_path, v2_path;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // 4:memory:/docker/3f
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    if (parts[0] == "0" && parts[1].empty()) v2_path = parts[2];
    if (HasWord(parts[1], controller)) v1_path = parts[2];
  }
  const std::vector<CgroupMount> mounts = ListCgroupMounts(root, controller);
  std::vector<Cgroup> groups;
  for (const bool v2 : {false, true}) {
    const std::optional<std::string>& path = v2 ? v2_path : v1_path;
    if (!path.has_value()) continue;
    bool found = false;
    for (const CgroupMount& mount : mounts) {
      const std::optional<std::string> below =
          mount.v2 == v2 ? PathBelow(mount.root, *path, root + mount.point) : std::nullopt;
      if (below.has_value()) AddWithParents(mount, *below, &groups);
      found |= below.has_value();
    }
    // A process that was moved out of its namespace, or a mount that another one prepared: the
    // group that a container sees at the mount is most likely its own.
    const auto mount = std::find_if(mounts.begin(), mounts.end(),
                                    [&](const CgroupMount& m) { return m.v2 == v2; });
    if (!found && mount != mounts.end()) AddWithParents(*mount, "", &groups);
  }
  return groups;
}

std::optional<int64_t> ReadCgroupNumber(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  int64_t value;
  if (!(file >> word) || !absl::SimpleAtoi(word, &value)) return std::nullopt;
  return value;
}

}  // namespace sluice
