// A JSON document as it is written: members keep their order, numbers their digits.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_JSON_VALUE_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_JSON_VALUE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/grammar/limits.h"

namespace sluice::grammar {

struct JsonValue {
  enum class Kind : uint8_t { kNull, kFalse, kTrue, kNumber, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  std::string text = {};               // kString: the text; kNumber: as written
  double number = 0;                   // kNumber
  std::vector<JsonValue> items = {};   // kArray; kObject: the members' values
  std::vector<uint32_t> order = {};    // kObject: the keys sorted, as indices
  std::vector<std::string> keys = {};  // kObject

  bool is(Kind k) const { return kind == k; }
  bool is_bool() const { return kind == Kind::kFalse || kind == Kind::kTrue; }
  // Returns the member `key` of an object; null: it has none, or this is no object.
  const JsonValue* Find(absl::string_view key) const;
};

// InvalidArgument: not JSON, or an object has a key twice. ResourceExhausted: larger or deeper than
// the limits.
absl::StatusOr<JsonValue> ParseJsonValue(absl::string_view text, const Limits& limits);

// Writes `value` without white space, and with only the escapes that are needed.
std::string JsonText(const JsonValue& value);
void AppendJsonString(absl::string_view utf8, std::string* out);

// Compares as JSON Schema does: 1 equals 1.0, and the order of members does not matter.
bool JsonEqual(const JsonValue& a, const JsonValue& b);

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_JSON_VALUE_H_
