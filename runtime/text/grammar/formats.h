// Formats of texts by name.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_FORMATS_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_FORMATS_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace sluice::grammar {

// A pattern (PatternExpr) that matches only texts of a format of JSON Schema, though not all of
// them. Null: any other format, which annotates ("int32", "password", "regex"). Where texts may
// have up to `max_length` characters only, the pattern may be another one, which can be followed
// together with a count of characters.
const char* FormatPattern(absl::string_view name, int32_t max_length);

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_FORMATS_H_
