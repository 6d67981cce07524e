// Patterns that must hold together, and patterns with bounds of length.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_PATTERN_INTERSECTION_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_PATTERN_INTERSECTION_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/text/grammar/grammar.h"
#include "runtime/text/grammar/limits.h"

namespace sluice::grammar {

// Returns the texts of `min` to `max` characters (max may be Grammar::kUnlimited) that all of
// `patterns`, one or two, match; nothing if there is no such text. The patterns are expressions of
// `characters`, made by PatternExpr, which has no rules yet; the result may use rules that are
// added.
//
// If the bounds of length are bounds of one repetition, the repetition takes them. Otherwise the
// patterns' position automata (Glushkov 1961) are followed together with a count of characters,
// with a rule for each state that is met. ResourceExhausted: too many states.
absl::StatusOr<std::optional<Grammar::ExprId>> PatternIntersection(
    absl::Span<const Grammar::ExprId> patterns, int32_t min, int32_t max, const Limits& limits,
    Grammar* characters);

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_PATTERN_INTERSECTION_H_
