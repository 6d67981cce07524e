// Compiles keywords that hold for any type; lists the keywords that exist.
#include "runtime/text/grammar/schema_compiler.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/grammar/formats.h"

namespace sluice::grammar {
namespace {

using Kind = JsonValue::Kind;
using Names = std::set<std::string>;

// Keywords that constrain values in some draft, 3 to 2020-12, and are not supported. All other
// unknown words annotate.
const Names& UnsupportedKeywords() {
  static const auto* const names = new Names(absl::StrSplit(
      "not if then else dependencies dependentRequired dependentSchemas unevaluatedProperties "
      "unevaluatedItems propertyNames patternProperties minProperties maxProperties contains "
      "minContains "
      "maxContains multipleOf divisibleBy disallow extends $dynamicRef $recursiveRef",
      ' '));
  return *names;
}

const std::map<std::string, Names>& KeywordsOfTypes() {
  static const auto* const keywords = new std::map<std::string, Names>{
      {"object", {"properties", "required", "additionalProperties"}},
      {"array", {"items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"}},
      {"string", {"minLength", "maxLength", "pattern", "format"}},
      {"number", {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}},
      {"integer", {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}},
      {"boolean", {}},
      {"null", {}}};
  return *keywords;
}

// Returns whether a keyword implies its type. An unknown format does not, nor does draft 3's
// "required", which is about the schema as a property.
bool MeansItsType(const JsonValue& schema, const std::string& key) {
  const JsonValue& value = *schema.Find(key);
  if (key == "format")
    return value.is(Kind::kString) &&
           FormatPattern(value.text, std::numeric_limits<int32_t>::max()) != nullptr;
  return key != "required" || !value.is_bool();
}

// Of the keywords that are supported.
bool Constrains(const std::string& key) {
  static const auto* const names = [] {
    auto* const all = new Names{"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"};
    for (const auto& [type, keywords] : KeywordsOfTypes())
      all->insert(keywords.begin(), keywords.end());
    return all;
  }();
  return names->contains(key);
}

// Before draft 2019-09 the members beside "$ref" are ignored.
bool ReadsReferencesAlone(const JsonValue& root) {
  const JsonValue* const draft = root.Find("$schema");
  return draft != nullptr && absl::StrContains(draft->text, "json-schema.org/draft-0");
}

}  // namespace

bool IsOfType(const JsonValue& value, const std::string& type) {
  switch (value.kind) {
    case Kind::kNull:
      return type == "null";
    case Kind::kFalse:
    case Kind::kTrue:
      return type == "boolean";
    case Kind::kNumber:
      return type == "number" ||
             (type == "integer" && value.number == static_cast<double>(static_cast<int64_t>(
                                                       std::clamp(value.number, -9e18, 9e18))));
    case Kind::kString:
      return type == "string";
    case Kind::kArray:
      return type == "array";
    case Kind::kObject:
      return type == "object";
  }
  return false;
}

std::vector<const JsonValue*> LiteralsOf(const JsonValue& schema) {
  std::vector<const JsonValue*> values;
  if (const JsonValue* const value = schema.Find("const"); value != nullptr) return {value};
  if (const JsonValue* const list = schema.Find("enum");
      list != nullptr && list->is(Kind::kArray)) {
    for (const JsonValue& value : list->items) values.push_back(&value);
  }
  return values;
}

SchemaCompiler::SchemaCompiler(const JsonValue* root, const Limits& limits)
    : root_(*root),
      limits_(limits),
      known_places_(root),
      references_stand_alone_(ReadsReferencesAlone(*root)),
      json_(&g_) {}

absl::Status SchemaCompiler::Refuse(const SchemaAt& at, absl::string_view message) const {
  return absl::InvalidArgumentError(absl::StrCat("JSON schema at ", at.path, ": ", message));
}

absl::StatusOr<Grammar> SchemaCompiler::Compile() {
  const Grammar::RuleId root = g_.AddRule("#");
  references_[&root_] = root;
  SLUICE_ASSIGN_OR_RETURN(const ExprId body, Schema({&root_, "#"}));
  g_.Define(root, body);
  g_.set_root(root);
  return std::move(g_);
}

absl::Status SchemaCompiler::CheckKeywords(const SchemaAt& at) const {
  for (const std::string& key : at.schema->keys) {
    if (UnsupportedKeywords().contains(key))
      return Refuse(at, absl::StrCat("\"", key, "\" is not supported"));
  }
  return absl::OkStatus();
}

absl::Status SchemaCompiler::OnlyBeside(const SchemaAt& at, absl::string_view keyword,
                                        const Names& others) const {
  for (const std::string& key : at.schema->keys) {
    if (key == keyword || others.contains(key) || !Constrains(key) ||
        !MeansItsType(*at.schema, key))
      continue;
    return Refuse(at, absl::StrCat("\"", key, "\" beside \"", keyword, "\" is not supported"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Names> SchemaCompiler::Types(const SchemaAt& at) const {
  Names types;
  const JsonValue* const type = at.schema->Find("type");
  if (type == nullptr) return types;
  const std::vector<JsonValue> one = {*type};
  for (const JsonValue& name : type->is(Kind::kArray) ? type->items : one) {
    if (!name.is(Kind::kString) || !KeywordsOfTypes().contains(name.text)) {
      return Refuse(at,
                    absl::StrCat("\"type\" ", JsonText(name).substr(0, 100), " is none of JSON's"));
    }
    types.insert(name.text);
  }
  if (types.empty()) return Refuse(at, "\"type\" is an empty list");
  if (types.contains("number")) types.erase("integer");  // they are numbers, too
  return types;
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::Schema(const SchemaAt& at) {
  if (++depth_ > limits_.depth) {
    return absl::ResourceExhaustedError(
        absl::StrCat("JSON schema: nested deeper than ", limits_.depth));
  }
  const absl::Cleanup leave = [this] { --depth_; };
  if (g_.num_exprs() > limits_.expressions) {
    return absl::ResourceExhaustedError(
        absl::StrCat("JSON schema: more than ", limits_.expressions, " expressions"));
  }
  const JsonValue& schema = *at.schema;
  if (schema.is(Kind::kTrue)) return json_.Value();
  if (schema.is(Kind::kFalse)) return g_.Choice({});
  if (!schema.is(Kind::kObject)) return Refuse(at, "a schema must be an object, true or false");
  const bool is_reference = schema.Find("$ref") != nullptr;
  if (is_reference && references_stand_alone_) return Reference(at);
  SLUICE_RETURN_IF_ERROR(CheckKeywords(at));
  if (is_reference) return Reference(at);
  if (schema.Find("const") != nullptr || schema.Find("enum") != nullptr) return Literals(at);
  for (const absl::string_view keyword : {"anyOf", "oneOf"}) {
    if (schema.Find(keyword) != nullptr) return AnyOf(at, keyword);
  }
  if (schema.Find("allOf") != nullptr) return AllOf(at);

  SLUICE_ASSIGN_OR_RETURN(Names types, Types(at));
  if (types.empty()) {
    // A keyword constrains values of its types only, but whoever writes one means those types.
    for (const auto& [type, keywords] : KeywordsOfTypes()) {
      for (const std::string& key : schema.keys) {
        if (keywords.contains(key) && type != "integer" && MeansItsType(schema, key))
          types.insert(type);
      }
    }
  }
  if (types.empty()) return json_.Value();
  std::vector<ExprId> ways;
  for (const std::string& type : types) {
    SLUICE_ASSIGN_OR_RETURN(const ExprId way, OfType(at, type));
    ways.push_back(way);
  }
  return g_.Choice(std::move(ways));
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::OfType(const SchemaAt& at,
                                                       const std::string& type) {
  if (type == "object") return Object(at);
  if (type == "array") return Array(at);
  if (type == "string") return String(at);
  if (type == "boolean") return json_.Boolean();
  if (type == "null") return json_.Null();
  return Number(at, type == "integer");
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::Literals(const SchemaAt& at) {
  const absl::string_view keyword = at.schema->Find("const") != nullptr ? "const" : "enum";
  SLUICE_RETURN_IF_ERROR(OnlyBeside(at, keyword, {"type", "const", "enum"}));
  const JsonValue* const list = at.schema->Find("enum");
  if (list != nullptr && (!list->is(Kind::kArray) || list->items.empty())) {
    return Refuse(at, "\"enum\" must be a list of values");
  }
  SLUICE_ASSIGN_OR_RETURN(const Names types, Types(at));
  std::vector<std::string> texts;
  for (const JsonValue* const value : LiteralsOf(*at.schema)) {
    bool fits = types.empty();
    for (const std::string& type : types) fits |= IsOfType(*value, type);
    if (list != nullptr && keyword == "const") {
      fits &= std::any_of(list->items.begin(), list->items.end(),
                          [&](const JsonValue& item) { return JsonEqual(item, *value); });
    }
    if (fits) texts.push_back(JsonText(*value));
  }
  if (texts.empty())
    return Refuse(at, absl::StrCat("no value of \"", keyword, "\" is of its \"type\""));
  return g_.AnyText(std::move(texts));
}

absl::StatusOr<SchemaAt> SchemaCompiler::Resolve(const SchemaAt& at) const {
  const JsonValue& ref = *at.schema->Find("$ref");
  if (!ref.is(Kind::kString)) return Refuse(at, "\"$ref\" must be a text");
  absl::StatusOr<SchemaAt> place = known_places_.Resolve(at, ref.text);
  if (!place.ok()) {
    return Refuse(
        at, absl::StrCat("\"$ref\" \"", ref.text.substr(0, 200), "\" ", place.status().message()));
  }
  return place;
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::Reference(const SchemaAt& at) {
  if (!references_stand_alone_) SLUICE_RETURN_IF_ERROR(OnlyBeside(at, "$ref", {}));
  SLUICE_ASSIGN_OR_RETURN(const SchemaAt target, Resolve(at));
  const auto [it, is_new] = references_.try_emplace(target.schema, -1);
  if (!is_new) return g_.Use(it->second);
  const Grammar::RuleId rule = g_.AddRule(target.path);
  it->second = rule;  // first, as it may refer to itself
  SLUICE_ASSIGN_OR_RETURN(const ExprId body, Schema(target));
  g_.Define(rule, body);
  return g_.Use(rule);
}

}  // namespace sluice::grammar
