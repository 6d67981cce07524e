// GBNF, llama.cpp's notation for grammars (grammars/README.md there); docs/grammar.md says what is
// read here.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_GBNF_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_GBNF_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/grammar/grammar.h"
#include "runtime/text/grammar/limits.h"

namespace sluice::grammar {

// Parses `text`; the grammar's root is the rule "root". InvalidArgument, with line and column: not
// GBNF, or a rule (named) that is used but not defined, or defined twice. ResourceExhausted: a
// limit.
absl::StatusOr<Grammar> ParseGbnf(absl::string_view text, const Limits& limits = {});

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_GBNF_H_
