// Turns schemas into expressions; for this folder only.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_SCHEMA_COMPILER_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_SCHEMA_COMPILER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/grammar/grammar.h"
#include "runtime/text/grammar/json_grammar.h"
#include "runtime/text/grammar/json_value.h"
#include "runtime/text/grammar/limits.h"
#include "runtime/text/grammar/schema_references.h"

namespace sluice::grammar {

bool IsOfType(const JsonValue& value, const std::string& type);
// Returns the values of "const" or "enum", or nothing.
std::vector<const JsonValue*> LiteralsOf(const JsonValue& schema);

class SchemaCompiler {
 public:
  using ExprId = Grammar::ExprId;

  // `root` must outlive this object.
  SchemaCompiler(const JsonValue* root, const Limits& limits);
  absl::StatusOr<Grammar> Compile();

 private:
  // schema_compiler.cc: any schema.
  absl::StatusOr<ExprId> Schema(const SchemaAt& at);
  absl::StatusOr<ExprId> Reference(const SchemaAt& at);
  absl::StatusOr<SchemaAt> Resolve(const SchemaAt& at) const;  // of a schema that has "$ref"
  absl::StatusOr<ExprId> Literals(const SchemaAt& at);         // const, enum
  absl::StatusOr<std::set<std::string>> Types(
      const SchemaAt& at) const;  // empty: the schema names none
  absl::Status CheckKeywords(const SchemaAt& at) const;
  // Refuses all constraining keywords but these.
  absl::Status OnlyBeside(const SchemaAt& at, absl::string_view keyword,
                          const std::set<std::string>& others) const;
  absl::StatusOr<ExprId> OfType(const SchemaAt& at, const std::string& type);

  // In schema_branches.cc: keywords that combine schemas.
  absl::StatusOr<ExprId> AnyOf(const SchemaAt& at, absl::string_view keyword);
  absl::StatusOr<ExprId> AllOf(const SchemaAt& at);
  // Returns whether no value is valid by both, as far as types, literals and their place in objects
  // tell.
  bool Disjoint(const SchemaAt& a, const SchemaAt& b, int depth) const;
  // A property that an object must have, with one of these values (JSON texts).
  struct Tag {
    std::string property;
    std::set<std::string> values;
  };
  // Compiles a "oneOf" whose schemas `one` and `other` only OpenAPI's "discriminator" tells apart.
  absl::StatusOr<ExprId> Discriminated(const SchemaAt& at, size_t one, size_t other);
  // Returns the schema of an object that `branch` is or refers to.
  absl::StatusOr<SchemaAt> ObjectOf(const SchemaAt& branch) const;
  // Returns the values (JSON texts) for which a discriminator's `mapping`, which may be null, names
  // `branch`.
  std::set<std::string> NamesOf(const SchemaAt& branch, const SchemaAt& target,
                                const JsonValue* mapping) const;
  absl::StatusOr<ExprId> Tagged(const SchemaAt& at, const Tag& tag);

  // In schema_types.cc: values of one type.
  absl::StatusOr<ExprId> Object(const SchemaAt& at, const Tag* tag = nullptr);
  absl::StatusOr<ExprId> Array(const SchemaAt& at);
  absl::StatusOr<ExprId> String(const SchemaAt& at);
  absl::StatusOr<ExprId> Number(const SchemaAt& at, bool integer);

  struct Property {
    std::string name;
    ExprId member;  // key, colon and value
    bool required;
  };
  absl::StatusOr<std::vector<Property>> Properties(const SchemaAt& at, const Tag* tag);
  // Returns the value of a schema that may be "false", which allows none.
  absl::StatusOr<std::optional<ExprId>> Additional(const SchemaAt& at, absl::string_view keyword);
  ExprId Members(const std::vector<Property>& properties, std::optional<ExprId> more,
                 const std::string& path);

  struct Count {
    int32_t min = 0;
    int32_t max = Grammar::kUnlimited;
  };
  absl::StatusOr<Count> ReadCount(const SchemaAt& at, absl::string_view min,
                                  absl::string_view max) const;

  absl::Status Refuse(const SchemaAt& at, absl::string_view message) const;

  const JsonValue& root_;
  const Limits& limits_;
  const SchemaReferences known_places_;
  const bool references_stand_alone_;
  Grammar g_;
  JsonGrammar json_;
  std::map<const JsonValue*, Grammar::RuleId> references_;  // by the schema that is referred to
  std::map<std::pair<const JsonValue*, std::string>, Grammar::RuleId> tagged_;
  int depth_ = 0;
};

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_SCHEMA_COMPILER_H_
