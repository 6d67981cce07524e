// Reads sysfs, whose format is in the kernel's Documentation/admin-guide/cputopology.rst.
#include "kernels/cpu/cpu_topology.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

constexpr int kMostCpus = 8192;

// The first CPU of cpuN/topology/thread_siblings_list: the same for all siblings of a core.
int CoreOf(const std::string& cpu_dir, int cpu) {
  std::ifstream in(cpu_dir + "/topology/thread_siblings_list");
  std::string line;
  if (!std::getline(in, line)) return cpu;
  const absl::StatusOr<std::vector<int>> siblings = ParseCpuRange(absl::StripAsciiWhitespace(line));
  return siblings.ok() ? siblings->front() : cpu;
}

// cpuN/nodeM is a link to the node's folder.
int NodeOf(const std::string& cpu_dir) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(cpu_dir, error)) {
    const std::string name = entry.path().filename().string();
    absl::string_view number = name;
    int node;
    if (absl::ConsumePrefix(&number, "node") && absl::SimpleAtoi(number, &node)) return node;
  }
  return 0;
}

}  // namespace

std::vector<int> AllowedCpus() {
  std::vector<cpu_set_t> sets(kMostCpus / CPU_SETSIZE);
  const size_t bytes = sets.size() * sizeof(cpu_set_t);
  std::vector<int> cpus;
  if (sched_getaffinity(0, bytes, sets.data()) != 0) return {0};
  for (int cpu = 0; cpu < kMostCpus; ++cpu) {
    if (CPU_ISSET_S(cpu, bytes, sets.data())) cpus.push_back(cpu);
  }
  return cpus;
}

std::vector<CpuPlace> ReadCpuPlaces(const std::string& sysfs, const std::vector<int>& cpus) {
  std::vector<CpuPlace> places;
  for (const int cpu : cpus) {
    const std::string dir = absl::StrCat(sysfs, "/cpu/cpu", cpu);
    places.push_back({cpu, CoreOf(dir, cpu), NodeOf(dir)});
  }
  return places;
}

int CountCores(const std::vector<CpuPlace>& places) {
  std::set<int> cores;
  for (const CpuPlace& place : places) cores.insert(place.core);
  return static_cast<int>(cores.size());
}

std::vector<int> ComputeOrder(const std::vector<CpuPlace>& places) {
  // (how many siblings went before, how many of the node went before in that round, node, cpu)
  std::vector<std::tuple<int, int, int, int>> keys;
  for (const CpuPlace& place : places) {
    int round = 0;
    for (const CpuPlace& other : places) round += other.core == place.core && other.cpu < place.cpu;
    keys.emplace_back(round, 0, place.node, place.cpu);
  }
  for (auto& [round, turn, node, cpu] : keys) {
    for (const auto& [other_round, other_turn, other_node, other_cpu] : keys) {
      turn += other_round == round && other_node == node && other_cpu < cpu;
    }
  }
  std::sort(keys.begin(), keys.end());
  std::vector<int> order;
  for (const auto& key : keys) order.push_back(std::get<3>(key));
  return order;
}

absl::StatusOr<std::vector<int>> ParseCpuRange(absl::string_view text) {
  std::set<int> cpus;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(part, '-');
    int first, last;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &first) ||
        !absl::SimpleAtoi(ends.back(), &last) || first < 0 || last < first || last >= kMostCpus) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", text, "\" is not a list of CPUs such as 0-3,8-11"));
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.insert(cpu);
  }
  return std::vector<int>(cpus.begin(), cpus.end());
}

absl::StatusOr<std::vector<int>> ParseCpuMask(absl::string_view text) {
  absl::string_view digits = text;
  if (!absl::ConsumePrefix(&digits, "0x")) absl::ConsumePrefix(&digits, "0X");
  std::vector<int> cpus;
  bool valid = !digits.empty() && digits.size() <= kMostCpus / 4;
  for (size_t i = 0; valid && i < digits.size(); ++i) {
    const char c = absl::ascii_tolower(digits[digits.size() - 1 - i]);
    valid = absl::ascii_isxdigit(c);
    const int value = absl::ascii_isdigit(c) ? c - '0' : c - 'a' + 10;
    for (int bit = 0; valid && bit < 4; ++bit) {
      if (value >> bit & 1) cpus.push_back(static_cast<int>(4 * i) + bit);
    }
  }
  if (!valid || cpus.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not a mask of CPUs such as 0xff"));
  }
  return cpus;
}

absl::Status RunOnCpus(const std::vector<int>& cpus) {
  std::vector<cpu_set_t> sets(kMostCpus / CPU_SETSIZE);
  const size_t bytes = sets.size() * sizeof(cpu_set_t);
  std::memset(sets.data(), 0, bytes);
  for (const int cpu : cpus) CPU_SET_S(cpu, bytes, sets.data());
  if (sched_setaffinity(0, bytes, sets.data()) == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "compute threads cannot run on the CPUs that were asked for: ", std::strerror(errno)));
}

}  // namespace sluice
