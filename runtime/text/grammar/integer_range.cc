// Builds the expression digit by digit.
#include "runtime/text/grammar/integer_range.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace sluice::grammar {
namespace {

using ExprId = Grammar::ExprId;

ExprId Digits(char first, char last, Grammar* g) {
  return g->Class({{static_cast<uint8_t>(first), static_cast<uint8_t>(last)}});
}

// Matches numbers between `min` and `max`, which have the same number of digits.
ExprId DigitRange(absl::string_view min, absl::string_view max, Grammar* g) {
  const auto rest = static_cast<int32_t>(min.size()) - 1;
  if (min.empty()) return g->Sequence({});
  if (min[0] == max[0]) {
    return g->Sequence({Digits(min[0], min[0], g), DigitRange(min.substr(1), max.substr(1), g)});
  }
  std::vector<ExprId> ways;
  char first = min[0], last = max[0];
  if (min.substr(1).find_first_not_of('0') != absl::string_view::npos) {
    ways.push_back(g->Sequence(
        {Digits(first, first, g), DigitRange(min.substr(1), std::string(rest, '9'), g)}));
    ++first;
  }
  if (max.substr(1).find_first_not_of('9') != absl::string_view::npos) {
    ways.push_back(
        g->Sequence({Digits(last, last, g), DigitRange(std::string(rest, '0'), max.substr(1), g)}));
    --last;
  }
  if (first <= last) {
    ways.push_back(
        g->Sequence({Digits(first, last, g), g->Repeat(Digits('0', '9', g), rest, rest)}));
  }
  return g->Choice(std::move(ways));
}

ExprId Natural(int64_t min, int64_t max, Grammar* g) {
  std::vector<ExprId> ways;
  while (min <= max) {
    const std::string first = absl::StrCat(min);
    const int64_t last =
        std::min(max, static_cast<int64_t>(std::stoll(std::string(first.size(), '9'))));
    ways.push_back(DigitRange(first, absl::StrCat(last), g));
    min = last + 1;
  }
  return g->Choice(std::move(ways));
}

}  // namespace

Grammar::ExprId IntegerRange(int64_t min, int64_t max, Grammar* g) {
  std::vector<ExprId> ways;
  if (min < 0 && min <= max) {
    ways.push_back(g->Sequence({g->Text("-"), Natural(std::max<int64_t>(1, -max), -min, g)}));
  }
  if (max >= 0) ways.push_back(Natural(std::max<int64_t>(0, min), max, g));
  return g->Choice(std::move(ways));
}

}  // namespace sluice::grammar
