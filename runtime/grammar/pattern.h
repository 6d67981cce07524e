// Regular expressions of JSON schemas: the regular part of ECMA-262's, as expressions over the characters of a JSON
// string.
#ifndef SLUICE_RUNTIME_GRAMMAR_PATTERN_H_
#define SLUICE_RUNTIME_GRAMMAR_PATTERN_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/grammar/grammar.h"
#include "runtime/grammar/json_grammar.h"
#include "runtime/grammar/limits.h"

namespace sluice::grammar {

// What stands between the quotes of a string that `pattern` matches somewhere; ^ and $ tie its beginning or end to
// the string's. Known: characters, . [] [^] () (?:) | * + ? {m,n} and their lazy forms, \d \w \s \D \W \S, \t \n \r \f
// \v \0 \xHH \uHHHH, escaped punctuation, and ^ and $ at the ends of the pattern or of an alternative outside of
// groups. InvalidArgument names anything else and where it is. ResourceExhausted: a limit.
absl::StatusOr<Grammar::ExprId> PatternExpr(absl::string_view pattern, const Limits& limits, Grammar* grammar,
                                            JsonGrammar* json);

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_GRAMMAR_PATTERN_H_
