// strftime_now, the only clock of a template.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_STRFTIME_H_
#define SLUICE_RUNTIME_TEXT_JINJA_STRFTIME_H_

#include <ctime>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice::jinja {

// Formats a local time without a zone as Python's datetime.strftime does, in English.
// InvalidArgument: an unknown directive.
absl::StatusOr<std::string> FormatTime(const std::tm& time, absl::string_view format);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_STRFTIME_H_
