// The options that say how to generate: run's and chat's.
#ifndef SLUICE_TOOLS_GENERATE_OPTIONS_H_
#define SLUICE_TOOLS_GENERATE_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/engine/generator.h"
#include "runtime/open/open_options.h"
#include "tools/command.h"

namespace sluice {

std::vector<OptionSpec> GenerateOptionSpecs();
// Those of drafting. `with_head`: the command can ask a head of the checkpoint alone.
std::vector<OptionSpec> SpeculateOptionSpecs(bool with_head);
// \n \r \t \' \" \\ and \x with two digits become what they stand for, as llama.cpp does it; any
// other backslash stays.
std::string ProcessEscapes(absl::string_view text);
// With --escape, the arguments with escapes processed in their texts; else the arguments.
Arguments WithEscapes(const Arguments& args);
// Usage errors name an option outside its range. Without --seed it is random.
absl::StatusOr<GenerateOptions> ParseGenerateOptions(const Arguments& args);
absl::StatusOr<SpeculateOptions> ParseSpeculateOptions(const Arguments& args);

}  // namespace sluice

#endif  // SLUICE_TOOLS_GENERATE_OPTIONS_H_
