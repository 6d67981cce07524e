// Formats of texts by name.
#ifndef SLUICE_RUNTIME_GRAMMAR_FORMATS_H_
#define SLUICE_RUNTIME_GRAMMAR_FORMATS_H_

#include "absl/strings/string_view.h"

namespace sluice::grammar {

// A pattern (PatternExpr) that matches only texts of a format of JSON Schema, though not all of them. Null: any other
// format, which annotates ("int32", "password", "regex").
const char* FormatPattern(absl::string_view name);

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_GRAMMAR_FORMATS_H_
