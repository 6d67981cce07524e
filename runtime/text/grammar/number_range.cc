// Bounds are moved to a grid of decimals; between two points of the grid it goes digit by digit.
#include "runtime/text/grammar/number_range.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/numeric/int128.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/text/grammar/decimal.h"
#include "runtime/text/grammar/integer_range.h"

namespace sluice::grammar {
namespace {

using ExprId = Grammar::ExprId;
using absl::int128;

constexpr int kMaxDigits = 15;  // before the point, and behind it; so many a double keeps
constexpr int kUsualPlaces = 6;
constexpr int kMostDigits = 18;  // before the point, where bounds leave no number with fewer
constexpr int kFarDigits = 19;   // a bound with more digits before the point is beyond all numbers

int128 PowerOfTen(int n) {
  int128 power = 1;
  while (n-- > 0) power *= 10;
  return power;
}

double AsDouble(int128 value, int places) {
  double number = 0;
  (void)absl::SimpleAtod(GridText(value, places), &number);
  return number;
}

// Returns the first point of the grid inside of a lower bound. Points lie between -end and end;
// `end` means that there is none.
int128 FirstInside(const Decimal& bound, double value, bool is_open, int places, int128 end) {
  if (bound.DigitsBefore() > kFarDigits) return bound.negative ? 1 - end : end;
  const GridFloor floor = FloorOnGrid(bound, places);
  int128 first = floor.is_exact && !is_open ? floor.value : floor.value + 1;
  // Some points above an open bound may be the same double as the bound.
  if (is_open && AsDouble(first, places) <= value) {
    int128 outside = first, step = 1;
    while (AsDouble(outside + step, places) <= value) {
      outside += step;
      step *= 2;
    }
    for (first = outside + step; first - outside > 1;) {
      const int128 middle = outside + (first - outside) / 2;
      (AsDouble(middle, places) <= value ? outside : first) = middle;
    }
  }
  return std::clamp(first, 1 - end, end);
}

class RangeFinder {
 public:
  RangeFinder(absl::Span<const NumberBound> lower, absl::Span<const NumberBound> upper,
              bool integer)
      : lower_(lower), upper_(upper), integer_(integer) {
    for (const NumberBound& bound : lower) lower_decimals_.push_back(ParseDecimal(bound.text));
    for (const NumberBound& bound : upper) upper_decimals_.push_back(ParseDecimal(bound.text));
  }

  struct Range {
    int128 first, last;
    int places;
    int digits;  // before the point
    int128 Count() const { return last - first + 1; }
  };

  // Finds the coarsest grid that is allowed.
  Range Find() const {
    const Range range = Find(kMaxDigits);
    const int128 end = PowerOfTen(kMaxDigits + range.places);
    return range.first == end || range.last == -end ? Find(kMostDigits) : range;
  }

  // Whether a lower and an upper bound are the same number and both are inside.
  bool IsOneNumber() const {
    for (size_t i = 0; i < lower_.size(); ++i) {
      for (size_t j = 0; j < upper_.size(); ++j) {
        const Decimal &a = lower_decimals_[i], &b = upper_decimals_[j];
        if (a.negative == b.negative && a.digits == b.digits && a.exponent == b.exponent &&
            !lower_[i].is_open && !upper_[j].is_open) {
          return true;
        }
      }
    }
    return false;
  }

  std::string TooFew(const Range& range) const {
    std::string text =
        absl::StrCat(range.Count() < 1 ? "no " : "only one ", integer_ ? "integer" : "number",
                     " of up to ", range.digits, " digits");
    if (!integer_) absl::StrAppend(&text, " before and ", range.places, " after the point");
    const char* link = " lies ";
    for (const bool below : {false, true}) {
      for (const NumberBound& bound : below ? upper_ : lower_) {
        absl::StrAppend(&text, link, bound.is_open ? "" : "at or ", below ? "below" : "above",
                        " \"", bound.keyword, "\" ", bound.text.substr(0, 100));
        link = " and ";
      }
    }
    return text;
  }

 private:
  Range Find(int digits) const {
    if (integer_) return OnGrid(0, digits);
    int64_t behind = kUsualPlaces;
    for (const auto* const decimals : {&lower_decimals_, &upper_decimals_}) {
      for (const Decimal& x : *decimals) behind = std::max(behind, x.DigitsBehind());
    }
    const Range usual = OnGrid(kUsualPlaces, digits);
    const int128 largest =
        std::max(std::max(usual.first, -usual.first), std::max(usual.last, -usual.last));
    int most = kMaxDigits;
    for (int128 whole = largest / PowerOfTen(kUsualPlaces); whole > 0; whole /= 10) --most;
    most = std::max(most, kUsualPlaces);
    const int least = static_cast<int>(std::min<int64_t>(behind, most));
    constexpr int kEnough = 1000;
    for (int places = least; places <= most; ++places) {
      const Range range = OnGrid(places, digits);
      if (range.Count() >= kEnough) return range;
    }
    const Range finest = OnGrid(most, digits);
    // The bounds are equal: finer grids add nothing but zeros.
    return finest.Count() == 1 && IsOneNumber() ? OnGrid(least, digits) : finest;
  }

  Range OnGrid(int places, int digits) const {
    const int128 end = PowerOfTen(digits + places);
    Range range{1 - end, end - 1, places, digits};
    for (size_t i = 0; i < lower_.size(); ++i) {
      range.first = std::max(range.first, FirstInside(lower_decimals_[i], lower_[i].value,
                                                      lower_[i].is_open, places, end));
    }
    for (size_t i = 0; i < upper_.size(); ++i) {
      Decimal mirrored = upper_decimals_[i];
      if (!mirrored.digits.empty()) mirrored.negative = !mirrored.negative;
      range.last = std::min(
          range.last, -FirstInside(mirrored, -upper_[i].value, upper_[i].is_open, places, end));
    }
    return range;
  }

  const absl::Span<const NumberBound> lower_, upper_;
  const bool integer_;
  std::vector<Decimal> lower_decimals_, upper_decimals_;
};

// Decimals of one sign as their digits; `places` of these stand behind the point.
class Magnitudes {
 public:
  Magnitudes(int places, Grammar* grammar)
      : places_(places), g_(*grammar), digit_(g_.Class({{'0', '9'}})) {}

  // Matches the points of the grid from `first` to `last`, which are not negative.
  ExprId Between(int128 first, int128 last) {
    const int128 one = PowerOfTen(places_);
    const auto low = static_cast<int64_t>(first / one), high = static_cast<int64_t>(last / one);
    const std::string low_digits = Fraction(first), high_digits = Fraction(last);
    if (low == high) return With(low, low, low_digits, high_digits);
    const std::string zeros(places_, '0'), nines(places_, '9');
    std::vector<ExprId> ways;
    const int64_t from = low + (low_digits != zeros), to = high - (high_digits != nines);
    if (from > low) ways.push_back(With(low, low, low_digits, nines));
    if (from <= to) ways.push_back(With(from, to, zeros, nines));
    if (to < high) ways.push_back(With(high, high, zeros, high_digits));
    return g_.Choice(std::move(ways));
  }

 private:
  std::string Fraction(int128 value) const {
    return places_ == 0 ? "" : GridText(value % PowerOfTen(places_), places_).substr(2);
  }

  // An integer and a fraction, both between bounds; the fraction may be left out where it may be 0.
  ExprId With(int64_t low, int64_t high, absl::string_view low_digits,
              absl::string_view high_digits) {
    const ExprId integer = IntegerRange(low, high, &g_);
    if (places_ == 0) return integer;
    const ExprId fraction = g_.Sequence({g_.Text("."), Digits(low_digits, high_digits)});
    return g_.Sequence({integer, IsZero(low_digits) ? g_.Optional(fraction) : fraction});
  }

  static bool IsZero(absl::string_view digits) {
    return digits.find_first_not_of('0') == absl::string_view::npos;
  }

  // Matches one to low.size() digits that lie between `low` and `high` once zeros are appended.
  // `low` and `high` have equal sizes.
  ExprId Digits(absl::string_view low, absl::string_view high) {
    const auto behind = static_cast<int32_t>(low.size()) - 1;
    const absl::string_view low_rest = low.substr(1), high_rest = high.substr(1);
    if (low[0] == high[0]) return Behind(low[0], low[0], low_rest, high_rest);
    const std::string zeros(behind, '0'), nines(behind, '9');
    std::vector<ExprId> ways;
    char first = low[0], last = high[0];
    if (!IsZero(low_rest)) ways.push_back(Behind(first, first, low_rest, nines)), ++first;
    if (high_rest != nines) ways.push_back(Behind(last, last, zeros, high_rest)), --last;
    if (first <= last) ways.push_back(Behind(first, last, zeros, nines));
    return g_.Choice(std::move(ways));
  }

  // Matches a digit from `first` to `last`, and up to low.size() digits as in Digits(); no more
  // digits if `low` is 0.
  ExprId Behind(char first, char last, absl::string_view low, absl::string_view high) {
    const ExprId digit = g_.Class({{static_cast<uint8_t>(first), static_cast<uint8_t>(last)}});
    if (low.empty()) return digit;
    const auto size = static_cast<int32_t>(low.size());
    if (IsZero(low) && high == std::string(size, '9'))
      return g_.Sequence({digit, g_.Repeat(digit_, 0, size)});
    const ExprId rest = Digits(low, high);
    return g_.Sequence({digit, IsZero(low) ? g_.Optional(rest) : rest});
  }

  const int places_;
  Grammar& g_;
  const ExprId digit_;
};

}  // namespace

absl::StatusOr<Grammar::ExprId> NumberRange(absl::Span<const NumberBound> lower,
                                            absl::Span<const NumberBound> upper, bool integer,
                                            Grammar* grammar) {
  const RangeFinder finder(lower, upper, integer);
  const RangeFinder::Range range = finder.Find();
  if (range.Count() < 1 || (range.Count() == 1 && !integer && !finder.IsOneNumber())) {
    return absl::InvalidArgumentError(finder.TooFew(range));
  }
  Magnitudes magnitudes(range.places, grammar);
  std::vector<ExprId> ways;
  if (range.first < 0) {
    const int128 smallest = range.last < 0 ? -range.last : int128{1};
    ways.push_back(
        grammar->Sequence({grammar->Text("-"), magnitudes.Between(smallest, -range.first)}));
  }
  if (range.last >= 0)
    ways.push_back(magnitudes.Between(std::max(range.first, int128{0}), range.last));
  return grammar->Choice(std::move(ways));
}

}  // namespace sluice::grammar
