// A table of patterns.
#include "runtime/text/grammar/formats.h"

namespace sluice::grammar {
namespace {

// February has 28 days: leap years are not regular enough.
#define SLUICE_DATE                                                                                \
  "(?:[1-9]\\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|" \
  "30)|02-"                                                                                        \
  "(?:0[1-9]|1\\d|2[0-8])))"
#define SLUICE_TIME \
  "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)"
#define SLUICE_OCTET "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
// Repetitions have bounds, so that all lengths are below a usual maxLength (254, 2083).
#define SLUICE_EMAIL                                                                               \
  "[A-Za-z0-9_+-]{1,20}(?:\\.[A-Za-z0-9_+-]{1,20}){0,2}@(?:[A-Za-z0-9]{1,20}(?:-[A-Za-z0-9]{1,20}" \
  ")?\\.){1,3}"                                                                                    \
  "[A-Za-z]{2,12}"
// Labels of a host's name have up to 62 letters; the last one has no digits.
#define SLUICE_HOST "(?:[A-Za-z0-9]{1,20}(?:-[A-Za-z0-9]{1,20}){0,2}\\.){0,3}[A-Za-z]{1,20}"
#define SLUICE_HEX "[0-9A-Fa-f]{1,4}"
#define SLUICE_PATH "[A-Za-z0-9._~!$&'()*+,;=:@/-]{0,200}"
#define SLUICE_URI_TAIL \
  "(?:/(?:[A-Za-z0-9._~-]" SLUICE_PATH ")?)?(?:\\?" SLUICE_PATH ")?(?:#" SLUICE_PATH ")?"
#define SLUICE_URI                                                                                 \
  "(?:(?:https?|ftp)://" SLUICE_HOST "(?::[1-9]\\d{0,3})?" SLUICE_URI_TAIL "|mailto:" SLUICE_EMAIL \
  "|urn:[a-z0-9]{2,30}:[A-Za-z0-9][A-Za-z0-9._:-]{0,100})"
// The same with few states, for patterns whose length is counted, too.
#define SLUICE_SHORT_EMAIL \
  "[A-Za-z0-9_+-]+(?:\\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)*\\.[A-Za-z]{2,8}"
#define SLUICE_SHORT_PATH "[A-Za-z0-9._~!$&'()*+,;=:@/-]*"
#define SLUICE_SHORT_URI                                                                           \
  "(?:https?|ftp)://[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)*\\.[A-Za-z]{2,8}(?:/"                         \
  "(?:[A-Za-z0-9._~-]" SLUICE_SHORT_PATH ")?)?(?:\\?" SLUICE_SHORT_PATH ")?(?:#" SLUICE_SHORT_PATH \
  ")?"
#define SLUICE_DAYS "(?:\\d{1,4}Y(?:\\d{1,2}M(?:\\d{1,2}D)?)?|\\d{1,2}M(?:\\d{1,2}D)?|\\d{1,4}D)"
#define SLUICE_HOURS "T(?:\\d{1,4}H(?:\\d{1,4}M(?:\\d{1,4}S)?)?|\\d{1,4}M(?:\\d{1,4}S)?|\\d{1,4}S)"
constexpr struct {
  const char* name;
  const char* pattern;
  int32_t longest = 0;  // of the pattern's texts, where another pattern is for shorter ones
  const char* short_pattern = nullptr;  // for shorter ones
} kFormats[] = {
    {"date", "^" SLUICE_DATE "$"},
    {"time", "^" SLUICE_TIME "$"},
    {"date-time", "^" SLUICE_DATE "T" SLUICE_TIME "$"},
    {"uuid", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
    {"ipv4", "^" SLUICE_OCTET "(?:\\." SLUICE_OCTET "){3}$"},
    {"ipv6", "^(?:(?:" SLUICE_HEX ":){7}" SLUICE_HEX "|(?:" SLUICE_HEX ":){1,7}:|(?:" SLUICE_HEX
             ":){1,6}:" SLUICE_HEX "|(?:" SLUICE_HEX ":){1,5}(?::" SLUICE_HEX "){2}|(?:" SLUICE_HEX
             ":){1,4}(?::" SLUICE_HEX "){3}|(?:" SLUICE_HEX ":){1,3}(?::" SLUICE_HEX
             "){4}|::(?:" SLUICE_HEX ":){0,5}" SLUICE_HEX ")$"},
    {"email", "^" SLUICE_EMAIL "$", 201, "^" SLUICE_SHORT_EMAIL "$"},
    {"idn-email", "^" SLUICE_EMAIL "$", 201, "^" SLUICE_SHORT_EMAIL "$"},
    {"hostname", "^" SLUICE_HOST "$", 209, "^(?:[A-Za-z0-9]{1,20}\\.){0,2}[A-Za-z]{1,20}$"},
    {"idn-hostname", "^" SLUICE_HOST "$", 209, "^(?:[A-Za-z0-9]{1,20}\\.){0,2}[A-Za-z]{1,20}$"},
    {"uri", "^" SLUICE_URI "$", 826, "^" SLUICE_SHORT_URI "$"},
    {"iri", "^" SLUICE_URI "$", 826, "^" SLUICE_SHORT_URI "$"},
    {"uri-reference", "^(?:" SLUICE_URI "|" SLUICE_URI_TAIL ")$", 826, "^" SLUICE_SHORT_URI "$"},
    {"iri-reference", "^(?:" SLUICE_URI "|" SLUICE_URI_TAIL ")$", 826, "^" SLUICE_SHORT_URI "$"},
    {"duration", "^P(?:" SLUICE_DAYS "(?:" SLUICE_HOURS ")?|" SLUICE_HOURS "|\\d{1,4}W)$"}};
#undef SLUICE_DATE
#undef SLUICE_TIME
#undef SLUICE_OCTET
#undef SLUICE_EMAIL
#undef SLUICE_HOST
#undef SLUICE_HEX
#undef SLUICE_PATH
#undef SLUICE_URI_TAIL
#undef SLUICE_URI
#undef SLUICE_SHORT_EMAIL
#undef SLUICE_SHORT_PATH
#undef SLUICE_SHORT_URI
#undef SLUICE_DAYS
#undef SLUICE_HOURS

}  // namespace

const char* FormatPattern(absl::string_view name, int32_t max_length) {
  for (const auto& format : kFormats) {
    if (format.name == name)
      return max_length < format.longest ? format.short_pattern : format.pattern;
  }
  return nullptr;
}

}  // namespace sluice::grammar
