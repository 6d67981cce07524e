// Each function asks for room before it makes a text that is larger than its input.
#include "runtime/text/jinja/text_tools.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/text.h"

namespace sluice::jinja {

std::vector<absl::string_view> SplitAt(absl::string_view text, absl::string_view separator,
                                       int64_t limit, bool from_right) {
  std::vector<absl::string_view> parts;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t at = from_right ? text.rfind(separator) : text.find(separator);
    if (at == absl::string_view::npos) break;
    parts.push_back(from_right ? text.substr(at + separator.size()) : text.substr(0, at));
    text = from_right ? text.substr(0, at) : text.substr(at + separator.size());
  }
  parts.push_back(text);
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

absl::StatusOr<Value> TextList(Runtime& runtime, const std::vector<absl::string_view>& texts,
                               bool markup) {
  JINJA_RETURN_IF_ERROR(runtime.Step(static_cast<int64_t>(texts.size())));
  JINJA_RETURN_IF_ERROR(runtime.CheckRoom(static_cast<int64_t>(texts.size()) * 128));
  std::vector<Value> values;
  values.reserve(texts.size());
  for (const absl::string_view text : texts) {
    values.push_back(runtime.String(std::string(text), markup));
  }
  return runtime.List(std::move(values));
}

absl::StatusOr<std::string> ReplaceText(Runtime& runtime, absl::string_view text,
                                        absl::string_view from, absl::string_view to,
                                        int64_t limit) {
  std::string out;
  const auto add = [&](absl::string_view part) {
    absl::StrAppend(&out, part);
    return runtime.CheckRoom(static_cast<int64_t>(out.size() + to.size()));
  };
  size_t at = 0;
  for (int64_t done = 0; limit < 0 || done < limit; ++done) {
    size_t found = text.find(from, at);
    if (from.empty() && done > 0) {  // behind the next code point
      if (at >= text.size()) break;
      found = at;
      NextCodePoint(text, &found);
    }
    if (found == absl::string_view::npos) break;
    JINJA_RETURN_IF_ERROR(add(text.substr(at, found - at)));
    JINJA_RETURN_IF_ERROR(add(to));
    JINJA_RETURN_IF_ERROR(runtime.Step(1 + static_cast<int64_t>(to.size()) / 64));
    at = found + from.size();
  }
  JINJA_RETURN_IF_ERROR(add(text.substr(std::min(at, text.size()))));
  return out;
}

absl::StatusOr<std::string> PadText(Runtime& runtime, absl::string_view text, int64_t width,
                                    absl::string_view fill, char align) {
  const int64_t missing = width - CountCodePoints(text);
  if (missing <= 0) return std::string(text);
  JINJA_RETURN_IF_ERROR(runtime.CheckRoom(std::min<int64_t>(missing, INT64_MAX / 8) * 4));
  JINJA_RETURN_IF_ERROR(runtime.Step(missing / 64));
  // Like str.center: an odd blank goes to the left if the width is odd.
  const int64_t left = align == '>'   ? missing
                       : align == '<' ? 0
                                      : missing / 2 + (missing & width & 1);
  std::string out;
  for (int64_t i = 0; i < left; ++i) absl::StrAppend(&out, fill);
  absl::StrAppend(&out, text);
  for (int64_t i = left; i < missing; ++i) absl::StrAppend(&out, fill);
  return out;
}

bool HasOnlyCase(absl::string_view text, bool upper) {
  bool any = false;
  for (const uint32_t code : CodePoints(text)) {
    if (IsTitle(code) || (upper ? IsLower(code) : IsUpper(code))) return false;
    any |= upper ? IsUpper(code) : IsLower(code);
  }
  return any;
}

}  // namespace sluice::jinja
