// An expression for the integers from one number to another, written in decimal.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_INTEGER_RANGE_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_INTEGER_RANGE_H_

#include <cstdint>

#include "runtime/text/grammar/grammar.h"

namespace sluice::grammar {

inline constexpr int64_t kLargestInteger = 999'999'999'999'999'999;

// Matches min, min + 1, ..., max without leading zeros; nothing if min > max. Both are within
// +-kLargestInteger.
Grammar::ExprId IntegerRange(int64_t min, int64_t max, Grammar* grammar);

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_INTEGER_RANGE_H_
