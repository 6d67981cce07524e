// Python's two ways to put values into text: "%s" % x and "{}".format(x).
#ifndef SLUICE_RUNTIME_TEXT_JINJA_FORMAT_H_
#define SLUICE_RUNTIME_TEXT_JINJA_FORMAT_H_

#include "absl/status/statusor.h"
#include "runtime/text/jinja/object.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

// Evaluates format % values: the values are a tuple, a dict for %(name)s, or one value.
absl::StatusOr<Value> FormatPercent(Runtime& runtime, const Value& format, const Value& values);

// Evaluates format.format(...): fields by position or name, with attributes, items, !r, !s and a
// format specification.
absl::StatusOr<Value> FormatBraces(Runtime& runtime, const Value& format,
                                   const CallArguments& values);

// Evaluates Python's round(value, digits): the decimal nearest to the exact value, halves to even.
double RoundDecimal(double value, int64_t digits);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_FORMAT_H_
