// tojson as transformers defines it: json.dumps of Python, without HTML's escapes.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_TOJSON_H_
#define SLUICE_RUNTIME_TEXT_JINJA_TOJSON_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

struct JsonStyle {
  bool ensure_ascii = false;  // \uXXXX for characters beyond ASCII
  bool sort_keys = false;
  std::optional<std::string> indent;  // of one level; none: everything in one line
  std::string item_separator = ", ";  // "," where there is an indent
  std::string key_separator = ": ";
};

// Reads the filter's arguments ensure_ascii, indent, separators and sort_keys; missing or None: not
// given.
absl::StatusOr<JsonStyle> ParseJsonStyle(Runtime& runtime, const std::vector<Value>& args);

// InvalidArgument: a value that JSON cannot hold, such as undefined values and generators.
absl::StatusOr<std::string> WriteJson(Runtime& runtime, const Value& value, const JsonStyle& style);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_TOJSON_H_
