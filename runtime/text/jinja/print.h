// Prints values as Python does: str() and repr().
#ifndef SLUICE_RUNTIME_TEXT_JINJA_PRINT_H_
#define SLUICE_RUNTIME_TEXT_JINJA_PRINT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

// Evaluates str(value): text itself, nothing for undefined, and repr() for all others.
absl::StatusOr<std::string> Str(Runtime& runtime, const Value& value);
absl::StatusOr<std::string> Repr(Runtime& runtime, const Value& value);

std::string ReprOfText(absl::string_view text);
// Returns the shortest digits that read back as the same number: 0.1, 1e-05, 1e+16, inf.
std::string ReprOfDouble(double value);

// The name of a value's type in Python: "str", "dict".
std::string TypeName(const Value& value);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_PRINT_H_
