// JSON schemas (a subset of draft 2020-12) as grammars of the texts that they allow.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_JSON_SCHEMA_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_JSON_SCHEMA_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/grammar/grammar.h"
#include "runtime/text/grammar/limits.h"

namespace sluice::grammar {

// Makes a grammar that matches only texts that are valid by the schema, though not all of them
// (docs/grammar.md): keys come in the schema's order, and "properties" without
// "additionalProperties" allows no other keys. InvalidArgument: no JSON, not a schema, or an
// unsupported keyword, with its name and the JSON pointer of its schema; also a schema that is
// found to allow no text. ResourceExhausted: a limit.
absl::StatusOr<Grammar> GrammarFromJsonSchema(absl::string_view schema, const Limits& limits = {});

// Makes a grammar of any JSON object.
Grammar JsonObjectGrammar();

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_JSON_SCHEMA_H_
