// Patterns that hold together, and with bounds of length.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_PATTERN_INTERSECTION_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_PATTERN_INTERSECTION_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/text/grammar/grammar.h"
#include "runtime/text/grammar/limits.h"

namespace sluice::grammar {

// The texts of `min` to `max` characters (max may be Grammar::kUnlimited) that all of `patterns`,
// one or two, match. They are expressions of `characters` as PatternExpr makes them, which so far
// has no rules; the result may use rules that are added. Nothing: there is no such text.
//
// Where bounds of length are bounds of one repetition, they become those; otherwise the patterns'
// position automata (Glushkov 1961) are followed together with a count of characters, a rule for
// each state that is met. ResourceExhausted: too many states.
absl::StatusOr<std::optional<Grammar::ExprId>> PatternIntersection(
    absl::Span<const Grammar::ExprId> patterns, int32_t min, int32_t max, const Limits& limits,
    Grammar* characters);

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_PATTERN_INTERSECTION_H_
