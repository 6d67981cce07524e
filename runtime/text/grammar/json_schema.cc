// Parses the text and hands it to the compiler.
#include "runtime/text/grammar/json_schema.h"

#include "absl/strings/str_cat.h"
#include "runtime/text/grammar/json_grammar.h"
#include "runtime/text/grammar/json_value.h"
#include "runtime/text/grammar/schema_compiler.h"

namespace sluice::grammar {

absl::StatusOr<Grammar> GrammarFromJsonSchema(absl::string_view schema, const Limits& limits) {
  const absl::StatusOr<JsonValue> root = ParseJsonValue(schema, limits);
  if (!root.ok())
    return absl::Status(root.status().code(),
                        absl::StrCat("JSON schema: ", root.status().message()));
  return SchemaCompiler(&*root, limits).Compile();
}

Grammar JsonObjectGrammar() {
  Grammar grammar;
  JsonGrammar json(&grammar);
  const Grammar::RuleId root = grammar.AddRule("root");
  grammar.Define(root, json.Object());
  grammar.set_root(root);
  return grammar;
}

}  // namespace sluice::grammar
