// Reads JSON as values, for a template's context.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_JSON_H_
#define SLUICE_RUNTIME_TEXT_JINJA_JSON_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

// The deepest nesting that is read.
inline constexpr int kMaxJsonDepth = 64;

// Reads one document as Python's json.loads does: objects keep the order of their keys, and the
// last of equal keys counts. Half of a surrogate pair becomes U+FFFD. `what` names the source in
// errors. InvalidArgument: not JSON, too deep, or an integer of more than 64 bits.
absl::StatusOr<Value> ValueFromJson(absl::string_view text, absl::string_view what);

// Returns whether a JSON text has an escape of half of a surrogate pair (\ud800). JavaScript and
// Python write such an escape if a text was cut inside of a character, and the JSON library refuses
// it. `replaced` is then the text with \ufffd in its place; all other bytes stay where they are.
bool ReplaceLoneSurrogates(absl::string_view text, std::string* replaced);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_JSON_H_
