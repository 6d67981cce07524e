// Keywords that hold for any type, and those that put schemas together.
#include "runtime/grammar/schema_compiler.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "kernels/status_macros.h"

namespace sluice::grammar {
namespace {

using Kind = JsonValue::Kind;
using Names = std::set<std::string>;

// Comparing them all with each other takes time.
constexpr size_t kMaxOneOf = 200;
constexpr size_t kMaxPairs = 10'000;

// They say nothing about what is valid. "$defs" and "definitions" are read where something refers to them.
const Names& Annotations() {
  static const auto* const names =
      new Names{"$schema", "$id",      "$anchor",    "$comment", "$defs",     "definitions", "title",
                "default", "examples", "deprecated", "readOnly", "writeOnly", "description"};
  return *names;
}

const std::map<std::string, Names>& KeywordsOfTypes() {
  static const auto* const keywords =
      new std::map<std::string, Names>{{"object", {"properties", "required", "additionalProperties"}},
                                       {"array", {"items", "prefixItems", "minItems", "maxItems", "uniqueItems"}},
                                       {"string", {"minLength", "maxLength", "pattern", "format"}},
                                       {"number", {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}},
                                       {"integer", {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}},
                                       {"boolean", {}},
                                       {"null", {}}};
  return *keywords;
}

bool IsOf(const JsonValue& value, const std::string& type) {
  switch (value.kind) {
    case Kind::kNull:
      return type == "null";
    case Kind::kFalse:
    case Kind::kTrue:
      return type == "boolean";
    case Kind::kNumber:
      return type == "number" ||
             (type == "integer" &&
              value.number == static_cast<double>(static_cast<int64_t>(std::clamp(value.number, -9e18, 9e18))));
    case Kind::kString:
      return type == "string";
    case Kind::kArray:
      return type == "array";
    case Kind::kObject:
      return type == "object";
  }
  return false;
}

// The values of "const" or "enum", or nothing.
std::vector<const JsonValue*> LiteralsOf(const JsonValue& schema) {
  std::vector<const JsonValue*> values;
  if (const JsonValue* const value = schema.Find("const"); value != nullptr) return {value};
  if (const JsonValue* const list = schema.Find("enum"); list != nullptr && list->is(Kind::kArray)) {
    for (const JsonValue& value : list->items) values.push_back(&value);
  }
  return values;
}

std::string Escaped(absl::string_view key) { return absl::StrReplaceAll(key, {{"~", "~0"}, {"/", "~1"}}); }

}  // namespace

absl::Status SchemaCompiler::Refuse(const SchemaAt& at, absl::string_view message) const {
  return absl::InvalidArgumentError(absl::StrCat("JSON schema at ", at.path, ": ", message));
}

absl::StatusOr<Grammar> SchemaCompiler::Compile() {
  const Grammar::RuleId root = g_.AddRule("#");
  references_["#"] = root;
  SLUICE_ASSIGN_OR_RETURN(const ExprId body, Schema({&root_, "#"}));
  g_.Define(root, body);
  g_.set_root(root);
  return std::move(g_);
}

absl::Status SchemaCompiler::CheckKeywords(const SchemaAt& at) const {
  for (const std::string& key : at.schema->keys) {
    bool known = Annotations().contains(key) || key == "type" || key == "enum" || key == "const" || key == "anyOf" ||
                 key == "oneOf" || key == "allOf" || key == "$ref";
    for (const auto& [type, keywords] : KeywordsOfTypes()) known |= keywords.contains(key);
    if (!known) return Refuse(at, absl::StrCat("\"", key.substr(0, 100), "\" is not supported"));
  }
  return absl::OkStatus();
}

absl::Status SchemaCompiler::OnlyBeside(const SchemaAt& at, absl::string_view keyword, const Names& others) const {
  for (const std::string& key : at.schema->keys) {
    if (key == keyword || others.contains(key) || Annotations().contains(key)) continue;
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
      return Refuse(at, absl::StrCat("\"type\" ", JsonText(name).substr(0, 100), " is none of JSON's"));
    }
    types.insert(name.text);
  }
  if (types.empty()) return Refuse(at, "\"type\" is an empty list");
  if (types.contains("number")) types.erase("integer");  // they are numbers, too
  return types;
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::Schema(const SchemaAt& at) {
  if (++depth_ > limits_.depth) {
    return absl::ResourceExhaustedError(absl::StrCat("JSON schema: nested deeper than ", limits_.depth));
  }
  const absl::Cleanup leave = [this] { --depth_; };
  if (g_.num_exprs() > limits_.expressions) {
    return absl::ResourceExhaustedError(absl::StrCat("JSON schema: more than ", limits_.expressions, " expressions"));
  }
  const JsonValue& schema = *at.schema;
  if (schema.is(Kind::kTrue)) return json_.Value();
  if (schema.is(Kind::kFalse)) return g_.Choice({});
  if (!schema.is(Kind::kObject)) return Refuse(at, "a schema must be an object, true or false");
  SLUICE_RETURN_IF_ERROR(CheckKeywords(at));
  if (schema.Find("$ref") != nullptr) return Reference(at);
  if (schema.Find("const") != nullptr || schema.Find("enum") != nullptr) return Literals(at);
  for (const absl::string_view keyword : {"anyOf", "oneOf"}) {
    if (schema.Find(keyword) != nullptr) return AnyOf(at, keyword);
  }
  if (schema.Find("allOf") != nullptr) return AllOf(at);

  SLUICE_ASSIGN_OR_RETURN(Names types, Types(at));
  if (types.empty()) {
    // A keyword is about values of its types only, but whoever writes one means them.
    for (const auto& [type, keywords] : KeywordsOfTypes()) {
      for (const std::string& key : schema.keys) {
        if (keywords.contains(key) && type != "integer") types.insert(type);
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

absl::StatusOr<Grammar::ExprId> SchemaCompiler::OfType(const SchemaAt& at, const std::string& type) {
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
    for (const std::string& type : types) fits |= IsOf(*value, type);
    if (list != nullptr && keyword == "const") {
      fits &= std::any_of(list->items.begin(), list->items.end(),
                          [&](const JsonValue& item) { return JsonEqual(item, *value); });
    }
    if (fits) texts.push_back(JsonText(*value));
  }
  if (texts.empty()) return Refuse(at, absl::StrCat("no value of \"", keyword, "\" is of its \"type\""));
  return g_.AnyText(std::move(texts));
}

absl::StatusOr<SchemaAt> SchemaCompiler::Resolve(const SchemaAt& at, const JsonValue& ref) const {
  if (!ref.is(Kind::kString) || (ref.text != "#" && !absl::StartsWith(ref.text, "#/"))) {
    return Refuse(at, absl::StrCat("\"$ref\" ", JsonText(ref).substr(0, 200),
                                   " is not supported: only places in this document are, such as #/$defs/name"));
  }
  SchemaAt place{&root_, "#"};
  if (ref.text == "#") return place;
  for (const absl::string_view part : absl::StrSplit(absl::string_view(ref.text).substr(2), '/')) {
    const std::string key = absl::StrReplaceAll(part, {{"~1", "/"}, {"~0", "~"}});
    const JsonValue* next = place.schema->Find(key);
    size_t index;
    if (place.schema->is(Kind::kArray) && absl::SimpleAtoi(key, &index) && index < place.schema->items.size()) {
      next = &place.schema->items[index];
    }
    if (next == nullptr) return Refuse(at, absl::StrCat("\"$ref\" ", ref.text.substr(0, 200), " points at nothing"));
    place = {next, absl::StrCat(place.path, "/", Escaped(key))};
  }
  return place;
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::Reference(const SchemaAt& at) {
  SLUICE_RETURN_IF_ERROR(OnlyBeside(at, "$ref", {}));
  SLUICE_ASSIGN_OR_RETURN(const SchemaAt target, Resolve(at, *at.schema->Find("$ref")));
  const auto [it, is_new] = references_.try_emplace(target.path, -1);
  if (!is_new) return g_.Use(it->second);
  const Grammar::RuleId rule = g_.AddRule(target.path);
  it->second = rule;  // first, as it may refer to itself
  SLUICE_ASSIGN_OR_RETURN(const ExprId body, Schema(target));
  g_.Define(rule, body);
  return g_.Use(rule);
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::AllOf(const SchemaAt& at) {
  const JsonValue& list = *at.schema->Find("allOf");
  SLUICE_RETURN_IF_ERROR(OnlyBeside(at, "allOf", {}));
  if (!list.is(Kind::kArray) || list.items.size() != 1) {
    return Refuse(at, "\"allOf\" is supported with one schema only");
  }
  return Schema({&list.items[0], at.path + "/allOf/0"});
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::AnyOf(const SchemaAt& at, absl::string_view keyword) {
  SLUICE_RETURN_IF_ERROR(OnlyBeside(at, keyword, {}));
  const JsonValue& list = *at.schema->Find(keyword);
  if (!list.is(Kind::kArray) || list.items.empty()) {
    return Refuse(at, absl::StrCat("\"", keyword, "\" must be a list of schemas"));
  }
  if (keyword == "oneOf" && list.items.size() > kMaxOneOf) {
    return absl::ResourceExhaustedError(
        Refuse(at, absl::StrCat("\"oneOf\" has more than ", kMaxOneOf, " schemas")).message());
  }
  std::vector<ExprId> ways;
  std::vector<SchemaAt> branches;
  for (size_t i = 0; i < list.items.size(); ++i) {
    branches.push_back({&list.items[i], absl::StrCat(at.path, "/", keyword, "/", i)});
    SLUICE_ASSIGN_OR_RETURN(const ExprId way, Schema(branches.back()));
    ways.push_back(way);
    for (size_t j = 0; keyword == "oneOf" && j < i; ++j) {
      if (Disjoint(branches[j], branches[i], 0)) continue;
      return Refuse(at,
                    absl::StrCat("\"oneOf\" is supported where its schemas tell apart by type or by constants, and ", j,
                                 " and ", i, " do not; is \"anyOf\" meant?"));
    }
  }
  return g_.Choice(std::move(ways));
}

bool SchemaCompiler::Disjoint(const SchemaAt& a, const SchemaAt& b, int depth) const {
  constexpr int kMaxDepth = 8;  // of references and of objects in objects
  if (depth > kMaxDepth) return false;
  for (const auto& [one, other] : {std::pair(a, b), std::pair(b, a)}) {
    if (one.schema->is(Kind::kFalse)) return true;
    if (!one.schema->is(Kind::kObject)) return false;
    if (const JsonValue* const ref = one.schema->Find("$ref"); ref != nullptr) {
      const absl::StatusOr<SchemaAt> target = Resolve(one, *ref);
      return target.ok() && Disjoint(*target, other, depth + 1);
    }
  }
  const std::vector<const JsonValue*> a_values = LiteralsOf(*a.schema), b_values = LiteralsOf(*b.schema);
  if (!a_values.empty() && !b_values.empty()) {
    if (a_values.size() * b_values.size() > kMaxPairs) return false;
    for (const JsonValue* const x : a_values) {
      for (const JsonValue* const y : b_values) {
        if (JsonEqual(*x, *y)) return false;
      }
    }
    return true;
  }
  const absl::StatusOr<Names> a_types = Types(a), b_types = Types(b);
  if (!a_types.ok() || !b_types.ok()) return false;
  const auto none_of = [](const std::vector<const JsonValue*>& values, const Names& types) {
    return std::none_of(values.begin(), values.end(), [&](const JsonValue* value) {
      return std::any_of(types.begin(), types.end(), [&](const std::string& type) { return IsOf(*value, type); });
    });
  };
  if (!a_values.empty()) return !b_types->empty() && none_of(a_values, *b_types);
  if (!b_values.empty()) return !a_types->empty() && none_of(b_values, *a_types);
  if (a_types->empty() || b_types->empty()) return false;
  bool common = false;
  for (const std::string& type : *a_types) {
    common |= b_types->contains(type) || (type == "integer" && b_types->contains("number")) ||
              (type == "number" && b_types->contains("integer"));
  }
  if (!common) return true;
  if (*a_types != Names{"object"} || *b_types != Names{"object"}) return false;
  // Objects that have to have a key with values that differ.
  const auto required = [](const SchemaAt& at, const std::string& key) {
    const JsonValue* const names = at.schema->Find("required");
    return names != nullptr && std::any_of(names->items.begin(), names->items.end(),
                                           [&](const JsonValue& name) { return name.text == key; });
  };
  const JsonValue *const a_members = a.schema->Find("properties"), *const b_members = b.schema->Find("properties");
  if (a_members == nullptr || b_members == nullptr || a_members->keys.size() > kMaxOneOf) return false;
  for (const std::string& key : a_members->keys) {
    if (b_members->Find(key) == nullptr || !required(a, key) || !required(b, key)) continue;
    if (Disjoint({a_members->Find(key), ""}, {b_members->Find(key), ""}, depth + 1)) return true;
  }
  return false;
}

}  // namespace sluice::grammar
