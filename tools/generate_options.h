// The options that say how to generate: run's and chat's.
#ifndef SLUICE_TOOLS_GENERATE_OPTIONS_H_
#define SLUICE_TOOLS_GENERATE_OPTIONS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "runtime/generator.h"
#include "tools/command.h"

namespace sluice {

std::vector<OptionSpec> GenerateOptionSpecs();
// Usage errors name an option outside its range. Without --seed it is random.
absl::StatusOr<GenerateOptions> ParseGenerateOptions(const Arguments& args);

}  // namespace sluice

#endif  // SLUICE_TOOLS_GENERATE_OPTIONS_H_
