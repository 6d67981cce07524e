// JSON schemas (draft 2020-12, a subset) as grammars of the texts that they allow.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_JSON_SCHEMA_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_JSON_SCHEMA_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/grammar/grammar.h"
#include "runtime/text/grammar/limits.h"

namespace sluice::grammar {

// Whatever the grammar matches is valid by the schema; docs/grammar.md says what it does not match
// although it would be: keys come in the schema's order, and where "properties" stands without
// "additionalProperties" there are no others. InvalidArgument: no JSON, not a schema, or a keyword
// that is not supported, each by its name and the JSON pointer of the schema that has it; also a
// schema that nothing is valid by, where that is seen. ResourceExhausted: a limit.
absl::StatusOr<Grammar> GrammarFromJsonSchema(absl::string_view schema, const Limits& limits = {});

// Any JSON object.
Grammar JsonObjectGrammar();

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_JSON_SCHEMA_H_
