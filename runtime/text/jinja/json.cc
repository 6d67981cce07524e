// Parses a text for a ValueBuilder.
#include "runtime/text/jinja/json.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/value_builder.h"

namespace sluice::jinja {
namespace {

using nlohmann::json;

// The code unit of the escape (\uXXXX) that begins at `at`, or -1.
int EscapedUnit(absl::string_view text, size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return -1;
  int unit = 0;
  for (const char c : text.substr(at + 2, 4)) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return -1;
    const int digit =
        absl::ascii_isdigit(static_cast<unsigned char>(c)) ? c - '0' : (c | 0x20) - 'a' + 10;
    unit = unit * 16 + digit;
  }
  return unit;
}

}  // namespace

bool ReplaceLoneSurrogates(absl::string_view text, std::string* replaced) {
  const auto is_high = [](int unit) { return unit >= 0xD800 && unit < 0xDC00; };
  const auto is_low = [](int unit) { return unit >= 0xDC00 && unit < 0xE000; };
  replaced->clear();
  // A backslash stands only inside of strings, and escapes what follows.
  for (size_t at = text.find('\\'); at != absl::string_view::npos; at = text.find('\\', at)) {
    const int unit = EscapedUnit(text, at);
    if (is_high(unit) && is_low(EscapedUnit(text, at + 6))) {
      at += 12;
    } else if (is_high(unit) || is_low(unit)) {
      if (replaced->empty()) replaced->assign(text.data(), text.size());
      replaced->replace(at, 6, "\\ufffd");
      at += 6;
    } else {
      at += 2;
    }
  }
  return !replaced->empty();
}

absl::StatusOr<Value> ValueFromJson(absl::string_view text, absl::string_view what) {
  if (absl::StartsWith(text, "\xEF\xBB\xBF")) text.remove_prefix(3);
  // The library takes a zero byte for the end of the text and would not look behind it.
  if (const size_t zero = text.find('\0'); zero != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": not valid JSON at byte ", zero + 1, ", which is zero"));
  }
  std::string replaced;
  if (ReplaceLoneSurrogates(text, &replaced)) text = replaced;
  ValueBuilder builder(what);
  const bool ok = json::sax_parse(text.begin(), text.end(), &builder);
  JINJA_RETURN_IF_ERROR(builder.status());
  if (!ok) return absl::InvalidArgumentError(absl::StrCat(what, ": not valid JSON"));
  return builder.Take();
}

}  // namespace sluice::jinja
