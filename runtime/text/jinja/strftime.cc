// The C library formats one checked directive at a time.
#include "runtime/text/jinja/strftime.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/runtime.h"

namespace sluice::jinja {
namespace {

constexpr absl::string_view kDirectives = "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyY%";
constexpr absl::string_view kFlags = "-_0^#";  // glibc's

}  // namespace

absl::StatusOr<std::string> FormatTime(const std::tm& time, absl::string_view format) {
  std::string out;
  for (size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      out += format[at++];
      continue;
    }
    size_t end = at + 1;
    while (end < format.size() && end < at + 3 && absl::StrContains(kFlags, format[end])) ++end;
    const char directive = end < format.size() ? format[end] : '\0';
    const absl::string_view all = format.substr(at, end + 1 - at);
    at = end + 1;
    if (directive == 'f') {
      out += "000000";
    } else if (directive != '\0' && absl::StrContains(kDirectives, directive)) {
      char text[128];
      out.append(text, std::strftime(text, sizeof(text), std::string(all).c_str(), &time));
    } else if (directive != 'z' && directive != 'Z') {  // a time without a zone has no name for it
      return Error("strftime has no directive '", all, "'");
    }
  }
  return out;
}

}  // namespace sluice::jinja
