// Defaults that this machine sets.
#include "runtime/open/open_options.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "kernels/base/memory_limits.h"
#include "kernels/cpu/cpu_topology.h"

namespace sluice {

std::optional<SpeculateOptions::Mode> SpeculateModeOf(absl::string_view name) {
  using Mode = SpeculateOptions::Mode;
  constexpr std::pair<absl::string_view, Mode> kModes[] = {{"off", Mode::kOff},
                                                           {"auto", Mode::kAuto},
                                                           {"ngram", Mode::kNgram},
                                                           {"model", Mode::kModel},
                                                           {"mtp", Mode::kMtp}};
  for (const auto& [known, mode] : kModes) {
    if (name == known) return mode;
  }
  return std::nullopt;
}

void OpenOptions::Note(OpenNote::Kind kind, std::string text) const {
  if (on_note) on_note({kind, std::move(text)});
}

void UseBudget(std::optional<int64_t> given, OpenOptions* options) {
  const std::vector<MemoryLimit> limits = ReadMemoryLimits();
  if (!given.has_value()) {
    DefaultBudget budget = DefaultBudgetOf(limits);
    options->max_ram_bytes = budget.bytes;
    options->max_ram_source = std::move(budget.source);
    return;
  }
  options->max_ram_bytes = *given;
  options->max_ram_source.clear();
  if (std::optional<std::string> warning = BudgetWarning(*given, limits); warning.has_value()) {
    options->Note(OpenNote::Kind::kWarning, *std::move(warning));
  }
}

void UseAllCores(OpenOptions* options) {
  options->num_cores = CountCores(ReadCpuPlaces("/sys/devices/system", AllowedCpus()));
  options->num_threads = options->num_cores;
}

void RecallProbeFile(OpenOptions* options) {
  options->probe = RecallProbe(options->probe_file, options->store);
  if (!options->probe.has_value()) return;
  options->read.io.read_bytes = options->probe->rates.read_bytes;
  options->read.io.queue_depth = options->probe->rates.queue_depth;
}

}  // namespace sluice
