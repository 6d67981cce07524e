// Decimal numbers of JSON texts without loss: any number of digits, rounded down to a grid.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_DECIMAL_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_DECIMAL_H_

#include <cstdint>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/strings/string_view.h"

namespace sluice::grammar {

// The number (-1)^negative * digits * 10^exponent. Zero has no digits; the digits of other numbers
// have no zeros at either end.
struct Decimal {
  bool negative = false;
  std::string digits;
  int64_t exponent = 0;

  // The digits that are needed before and behind the point; 0 if none is.
  int64_t DigitsBefore() const;
  int64_t DigitsBehind() const;
};

// `json_number` is a number by RFC 8259. Exponents beyond +-10^15 become 10^15.
Decimal ParseDecimal(absl::string_view json_number);

// The largest integer that is not above `x` * 10^places, which must be below 10^37, and whether it
// equals it.
struct GridFloor {
  absl::int128 value;
  bool is_exact;
};
GridFloor FloorOnGrid(const Decimal& x, int places);

// Returns value / 10^places with all places: "-0.500".
std::string GridText(absl::int128 value, int places);

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_DECIMAL_H_
