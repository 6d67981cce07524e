// strftime_now: the clock that a template sees.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_STRFTIME_H_
#define SLUICE_RUNTIME_TEXT_JINJA_STRFTIME_H_

#include <ctime>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice::jinja {

// Python's datetime.strftime of a local time without a zone, in English. InvalidArgument for a
// directive that is not known.
absl::StatusOr<std::string> FormatTime(const std::tm& time, absl::string_view format);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_STRFTIME_H_
