// Digits are kept as text; only what lies on a grid is computed with.
#include "runtime/text/grammar/decimal.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sluice::grammar {
namespace {

constexpr int64_t kLargestExponent = 1'000'000'000'000'000;

}  // namespace

int64_t Decimal::DigitsBefore() const {
  return std::max<int64_t>(0, static_cast<int64_t>(digits.size()) + exponent);
}

int64_t Decimal::DigitsBehind() const { return std::max<int64_t>(0, -exponent); }

Decimal ParseDecimal(absl::string_view json_number) {
  Decimal x;
  x.negative = !json_number.empty() && json_number[0] == '-';
  const size_t e = json_number.find_first_of("eE");
  bool behind_point = false;
  for (const char c : json_number.substr(0, e)) {
    if (c == '.') behind_point = true;
    if (c < '0' || c > '9') continue;
    if (c != '0' || !x.digits.empty()) x.digits.push_back(c);
    x.exponent -= behind_point;
  }
  if (x.digits.empty()) return {};
  if (e != absl::string_view::npos) {
    const absl::string_view power = json_number.substr(e + 1);
    int64_t value = 0;
    if (!absl::SimpleAtoi(power, &value))
      value = power[0] == '-' ? -kLargestExponent : kLargestExponent;
    x.exponent += std::clamp(value, -kLargestExponent, kLargestExponent);
  }
  const size_t kept = x.digits.find_last_not_of('0') + 1;
  x.exponent += static_cast<int64_t>(x.digits.size() - kept);
  x.digits.resize(kept);
  return x;
}

GridFloor FloorOnGrid(const Decimal& x, int places) {
  if (x.digits.empty()) return {0, true};
  const int64_t shift = x.exponent + places;
  const auto size = static_cast<int64_t>(x.digits.size());
  const auto kept =
      static_cast<size_t>(std::clamp<int64_t>(size + std::min<int64_t>(shift, 0), 0, size));
  absl::int128 value = 0;
  for (const char c : absl::string_view(x.digits).substr(0, kept)) value = value * 10 + (c - '0');
  for (int64_t i = 0; i < shift; ++i) value *= 10;
  const bool is_exact = shift >= 0;
  if (x.negative) value = is_exact ? -value : -value - 1;
  return {value, is_exact};
}

std::string GridText(absl::int128 value, int places) {
  std::string digits;
  const bool negative = value < 0;
  for (absl::int128 rest = negative ? -value : value; rest > 0; rest /= 10) {
    digits.push_back(static_cast<char>('0' + static_cast<int>(rest % 10)));
  }
  const auto least = static_cast<size_t>(places) + 1;
  if (digits.size() < least) digits.resize(least, '0');
  std::reverse(digits.begin(), digits.end());
  const size_t point = digits.size() - static_cast<size_t>(places);
  return absl::StrCat(negative ? "-" : "", digits.substr(0, point), places > 0 ? "." : "",
                      digits.substr(point));
}

}  // namespace sluice::grammar
