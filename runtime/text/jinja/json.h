// JSON to values, for a template's context.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_JSON_H_
#define SLUICE_RUNTIME_TEXT_JINJA_JSON_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

// Deepest nesting that is read.
inline constexpr int kMaxJsonDepth = 64;

// One document, as Python's json.loads reads it: objects keep the order of their keys, and of keys
// that come twice the last counts. Half of a surrogate pair counts as U+FFFD. `what` names the
// source in errors. InvalidArgument: not JSON, too deep, or an integer of more than 64 bits.
absl::StatusOr<Value> ValueFromJson(absl::string_view text, absl::string_view what);

// Whether a JSON text has the escape of half of a surrogate pair (\ud800), which JavaScript and
// Python write where a text was cut inside of a character, and the library refuses. Then `replaced`
// is the text with \ufffd in place of each; all other bytes stay where they are.
bool ReplaceLoneSurrogates(absl::string_view text, std::string* replaced);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_JSON_H_
