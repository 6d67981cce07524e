// An expression for the numbers between bounds, written in decimal.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_NUMBER_RANGE_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_NUMBER_RANGE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/text/grammar/grammar.h"

namespace sluice::grammar {

struct NumberBound {
  std::string keyword;  // for messages
  std::string text;     // a JSON number
  double value;         // the same in double precision
  bool is_open;         // the bound itself lies outside
};

// Matches numbers above all of `lower` and below all of `upper`, without exponents, and zero
// without a sign.
//
// Numbers have up to 15 digits before the point (18 if the bounds leave none with 15). Unless they
// must be integers, they have up to 6 digits behind it; more if the bounds have more, or if fewer
// would leave less than a thousand numbers between the bounds, but no more than a double can tell
// apart near the bounds. Every number that is matched lies inside for validators that compare
// exactly and for those that compare doubles. InvalidArgument, which names the bounds: no such
// number lies between them, or only one does although the bounds differ and integers are not asked
// for.
absl::StatusOr<Grammar::ExprId> NumberRange(absl::Span<const NumberBound> lower,
                                            absl::Span<const NumberBound> upper, bool integer,
                                            Grammar* grammar);

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_NUMBER_RANGE_H_
