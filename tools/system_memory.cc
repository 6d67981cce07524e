// Reads /proc and the cgroup's files.
#include "tools/system_memory.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace sluice {
namespace {

std::optional<int64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  int64_t value;
  if (!(file >> word) || !absl::SimpleAtoi(word, &value)) return std::nullopt;  // "max" is no number
  return value;
}

// The line "KEY   123 kB" of a file of /proc, in bytes.
std::optional<int64_t> ReadKib(const std::string& path, absl::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!absl::StartsWith(line, key)) continue;
    const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    int64_t kib;
    if (words.size() >= 2 && absl::SimpleAtoi(words[1], &kib)) return kib * 1024;
  }
  return std::nullopt;
}

// The tightest limit of this process's cgroup and its ancestors, less what they use already.
std::optional<int64_t> CgroupRoom() {
  std::optional<int64_t> room;
  const auto consider = [&](const std::string& limit_path, const std::string& usage_path) {
    const std::optional<int64_t> limit = ReadNumber(limit_path);
    if (!limit.has_value() || *limit > (int64_t{1} << 50)) return;  // v1 writes a huge number for "none"
    const int64_t left = std::max<int64_t>(0, *limit - ReadNumber(usage_path).value_or(0));
    room = std::min(room.value_or(left), left);
  };
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const bool v2 = parts[0] == "0" && parts[1].empty();
    const bool v1 = absl::StrContains(absl::StrCat(",", parts[1], ","), ",memory,");
    if (!v1 && !v2) continue;
    const std::string root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    for (std::string path = parts[2];; path = path.substr(0, path.rfind('/'))) {
      const std::string dir = absl::StrCat(root, path == "/" ? "" : path);
      if (v2) {
        consider(dir + "/memory.max", dir + "/memory.current");
      } else {
        consider(dir + "/memory.limit_in_bytes", dir + "/memory.usage_in_bytes");
      }
      if (path.empty() || path == "/") break;
    }
  }
  return room;
}

}  // namespace

int64_t DefaultMaxRamBytes() {
  const int64_t available = ReadKib("/proc/meminfo", "MemAvailable:").value_or(int64_t{1} << 30);
  return std::min(available, CgroupRoom().value_or(available)) / 10 * 8;
}

int64_t PeakRssBytes() { return ReadKib("/proc/self/status", "VmHWM:").value_or(0); }

int64_t RssBytes() { return ReadKib("/proc/self/status", "VmRSS:").value_or(0); }

int AvailableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace sluice
