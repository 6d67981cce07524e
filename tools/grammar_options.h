// --grammar and --json-schema, as texts or files: what generated text has to follow.
#ifndef SLUICE_TOOLS_GRAMMAR_OPTIONS_H_
#define SLUICE_TOOLS_GRAMMAR_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/constrain/grammar_text.h"
#include "runtime/open/session.h"
#include "runtime/text/grammar/constraint.h"
#include "tools/command.h"

namespace sluice {

std::vector<OptionSpec> GrammarOptionSpecs();

// Reads what the option that was given stands for, checks that it can be compiled, and has
// `options` set memory aside for it; none: no such option was given. A value of --json-schema or
// --grammar that names a file, a pipe, or - for standard input is read; any other is the text.
// Errors name the file or the option.
absl::StatusOr<std::optional<GrammarText>> ReadGrammarOption(const Arguments& args,
                                                             OpenOptions* options);

// What holds answers to the grammar, if there is one. They end with the model's own end tokens or
// one of `turn_ends`.
absl::StatusOr<std::shared_ptr<grammar::Constraint>> MakeConstraint(
    const std::optional<GrammarText>& grammar, const Session& session,
    absl::Span<const int32_t> turn_ends);

}  // namespace sluice

#endif  // SLUICE_TOOLS_GRAMMAR_OPTIONS_H_
