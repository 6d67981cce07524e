// From schemas to expressions; for this folder only.
#ifndef SLUICE_RUNTIME_GRAMMAR_SCHEMA_COMPILER_H_
#define SLUICE_RUNTIME_GRAMMAR_SCHEMA_COMPILER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/grammar/grammar.h"
#include "runtime/grammar/json_grammar.h"
#include "runtime/grammar/json_value.h"
#include "runtime/grammar/limits.h"

namespace sluice::grammar {

// A schema and where it stands: "#/properties/name".
struct SchemaAt {
  const JsonValue* schema;
  std::string path;
};

class SchemaCompiler {
 public:
  using ExprId = Grammar::ExprId;

  // `root` must outlive it.
  SchemaCompiler(const JsonValue* root, const Limits& limits) : root_(*root), limits_(limits), json_(&g_) {}
  absl::StatusOr<Grammar> Compile();

 private:
  // schema_compiler.cc: any schema, and what puts schemas together.
  absl::StatusOr<ExprId> Schema(const SchemaAt& at);
  absl::StatusOr<ExprId> Reference(const SchemaAt& at);
  absl::StatusOr<SchemaAt> Resolve(const SchemaAt& at, const JsonValue& ref) const;
  absl::StatusOr<ExprId> Literals(const SchemaAt& at);  // const, enum
  absl::StatusOr<ExprId> AnyOf(const SchemaAt& at, absl::string_view keyword);
  absl::StatusOr<ExprId> AllOf(const SchemaAt& at);
  // Whether no value can be valid by both, as far as types, literals and their place in objects tell.
  bool Disjoint(const SchemaAt& a, const SchemaAt& b, int depth) const;
  absl::StatusOr<std::set<std::string>> Types(const SchemaAt& at) const;  // empty: the schema names none
  absl::Status CheckKeywords(const SchemaAt& at) const;
  // Refuses all keywords but these and annotations.
  absl::Status OnlyBeside(const SchemaAt& at, absl::string_view keyword, const std::set<std::string>& others) const;
  absl::StatusOr<ExprId> OfType(const SchemaAt& at, const std::string& type);

  // schema_types.cc: values of one type.
  absl::StatusOr<ExprId> Object(const SchemaAt& at);
  absl::StatusOr<ExprId> Array(const SchemaAt& at);
  absl::StatusOr<ExprId> String(const SchemaAt& at);
  absl::StatusOr<ExprId> Number(const SchemaAt& at, bool integer);

  struct Property {
    std::string name;
    ExprId member;  // key, colon and value
    bool required;
  };
  absl::StatusOr<std::vector<Property>> Properties(const SchemaAt& at);
  // The value of a schema that may be "false": none.
  absl::StatusOr<std::optional<ExprId>> Additional(const SchemaAt& at, absl::string_view keyword);
  ExprId Members(const std::vector<Property>& properties, std::optional<ExprId> more, const std::string& path);

  struct Count {
    int32_t min = 0;
    int32_t max = Grammar::kUnlimited;
  };
  absl::StatusOr<Count> ReadCount(const SchemaAt& at, absl::string_view min, absl::string_view max) const;

  absl::Status Refuse(const SchemaAt& at, absl::string_view message) const;

  const JsonValue& root_;
  const Limits& limits_;
  Grammar g_;
  JsonGrammar json_;
  std::map<std::string, Grammar::RuleId> references_;  // by the path that they point to
  int depth_ = 0;
};

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_GRAMMAR_SCHEMA_COMPILER_H_
