// The options of commands that open a store, and what such a command prints while it does.
#ifndef SLUICE_TOOLS_SESSION_OPTIONS_H_
#define SLUICE_TOOLS_SESSION_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/cpu/cpu_ops.h"
#include "runtime/open/open_options.h"
#include "runtime/open/session.h"
#include "runtime/pass/memory_plan.h"
#include "storage/store/manifest.h"
#include "tools/command.h"

namespace sluice {

// The options that ParseSessionOptions reads.
std::vector<OptionSpec> SessionOptionSpecs();
absl::StatusOr<OpenOptions> ParseSessionOptions(const Arguments& args);
// --isa, or the fastest that this machine has.
absl::StatusOr<Isa> ParseIsaOption(const Arguments& args);

// --kv-disk as pages of the cache that `request` asks for; nothing: auto.
OptionSpec KvDiskOptionSpec();
absl::StatusOr<std::optional<int64_t>> ParseKvDisk(const Arguments& args, const Manifest& manifest,
                                                   const PlanRequest& request);

// $XDG_CACHE_HOME/sluice/probe.json, or below ~/.cache; empty where neither variable is set.
std::string ProbeCachePath();

// A line on standard error.
void PrintOpenNote(const OpenNote& note);

// ProbeForSession with a line of progress.
absl::Status ProbeWithProgress(OpenOptions* options, const Session& session);

// Says on standard error which files of a store's tokenizer/ are not what its manifest says.
void WarnOfTokenizerChanges(const std::string& tokenizer_dir, const Manifest& manifest);

}  // namespace sluice

#endif  // SLUICE_TOOLS_SESSION_OPTIONS_H_
