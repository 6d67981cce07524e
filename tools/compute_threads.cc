// Reads the options; the system's view of its CPUs comes from kernels/cpu/cpu_topology.
#include "tools/compute_threads.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/memory_limits.h"
#include "kernels/base/status_macros.h"
#include "kernels/cpu/cpu_topology.h"

namespace sluice {

std::vector<OptionSpec> ComputeThreadSpecs() {
  return {
      {.name = "--threads",
       .alias = "-t",
       .value = "N",
       .help = "Compute threads (default: one a physical core)."},
      {.name = "--cpu-mask",
       .alias = "-C",
       .value = "M",
       .help = "CPUs to compute on, such as 0xff."},
      {.name = "--cpu-range", .alias = "-Cr", .value = "LO-HI", .help = "The same, such as 0-7."},
      {.name = "--cpu-strict",
       .help = "1: each compute thread keeps to a CPU of its own (default 0).",
       .choices = {"0", "1"}},
  };
}

absl::StatusOr<ComputeThreads> ParseComputeThreads(const Arguments& args) {
  const std::vector<int> allowed = AllowedCpus();
  std::vector<int> cpus = allowed;
  const bool chosen = args.Has("--cpu-mask") || args.Has("--cpu-range");
  if (args.Has("--cpu-mask") && args.Has("--cpu-range")) {
    return UsageError("give one of --cpu-mask and --cpu-range");
  }
  if (chosen) {
    const absl::StatusOr<std::vector<int>> parsed = args.Has("--cpu-mask")
                                                        ? ParseCpuMask(*args.Get("--cpu-mask"))
                                                        : ParseCpuRange(*args.Get("--cpu-range"));
    if (!parsed.ok()) return UsageError(parsed.status().message());
    cpus = *parsed;
    std::vector<int> others;
    std::set_difference(cpus.begin(), cpus.end(), allowed.begin(), allowed.end(),
                        std::back_inserter(others));
    if (!others.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("this process may not use CPU ",
                                                     others.front(), "; choose among ",
                                                     absl::StrJoin(allowed, ",")));
    }
  }
  const std::vector<CpuPlace> places = ReadCpuPlaces("/sys/devices/system", cpus);
  ComputeThreads threads;
  threads.placement.strict = args.Get("--cpu-strict") == "1";
  if (chosen || threads.placement.strict) threads.placement.cpus = ComputeOrder(places);
  threads.cores = CountCores(places);
  SLUICE_ASSIGN_OR_RETURN(const int64_t count, args.Int("--threads", threads.cores, 1, 1024));
  threads.count = static_cast<int>(count);
  return threads;
}

int ThreadsThatFit(int64_t wanted, int64_t bytes_each) {
  const DefaultBudget budget = DefaultBudgetOf(ReadMemoryLimits());
  const int64_t fit = std::clamp<int64_t>(budget.bytes / 2 / bytes_each, 1, wanted);
  if (fit < wanted) {
    SayFewerThreads()(absl::ResourceExhaustedError(
        absl::StrCat("memory has room for the buffers of ", fit, " of ", wanted, " threads (",
                     budget.source, ")")));
  }
  return static_cast<int>(fit);
}

ThreadShortageFn SayFewerThreads() {
  return [](const absl::Status& shortage) {
    static std::atomic<bool> said{false};
    if (said.exchange(true)) return;
    std::fprintf(stderr, "sluice: going on with fewer threads: %s\n",
                 std::string(shortage.message()).c_str());
  };
}

}  // namespace sluice
