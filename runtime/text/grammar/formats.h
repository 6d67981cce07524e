// Patterns for the formats of texts that JSON Schema names.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_FORMATS_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_FORMATS_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace sluice::grammar {

// Returns a pattern (PatternExpr) that matches only texts of the format `name`, though not all of
// them. Null: a format that only annotates ("int32", "password", "regex"). If texts may have at
// most `max_length` characters, the pattern may be another one, which can be followed together with
// a count of characters.
const char* FormatPattern(absl::string_view name, int32_t max_length);

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_FORMATS_H_
