// --grammar and --json-schema: what generated text has to follow.
#ifndef SLUICE_TOOLS_GRAMMAR_OPTIONS_H_
#define SLUICE_TOOLS_GRAMMAR_OPTIONS_H_

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/grammar_text.h"
#include "tools/command.h"

namespace sluice {

std::vector<OptionSpec> GrammarOptionSpecs();

// Reads the file of the option that was given, and checks that it can be compiled; none: neither was. Errors name the
// file.
absl::StatusOr<std::optional<GrammarText>> ReadGrammarOption(const Arguments& args);

}  // namespace sluice

#endif  // SLUICE_TOOLS_GRAMMAR_OPTIONS_H_
