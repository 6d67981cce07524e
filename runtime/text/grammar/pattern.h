// Regular expressions of JSON schemas (the regular part of ECMA-262's) as expressions.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_PATTERN_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_PATTERN_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/grammar/grammar.h"
#include "runtime/text/grammar/limits.h"

namespace sluice::grammar {

// Returns the texts in which `pattern` matches somewhere, as classes of characters, sequences,
// choices and repetitions; JsonGrammar::Spelled turns them into JSON's spelling. ^ and $ tie the
// match to the beginning or the end of the string. Known: characters, . [] [^] () (?:) | * + ?
// {m,n} and their lazy forms, \d \w \s \D \W \S, \t
//  \r \f \v \0 \xHH \uHHHH, escaped punctuation, and ^ and $ at the ends of the pattern or of an
// alternative outside of groups. InvalidArgument: names anything else and its place.
// ResourceExhausted: a limit.
absl::StatusOr<Grammar::ExprId> PatternExpr(absl::string_view pattern, const Limits& limits,
                                            Grammar* characters);

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_PATTERN_H_
