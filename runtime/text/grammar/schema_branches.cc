// Compiles schemas that combine others: allOf, anyOf and oneOf.
#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/grammar/schema_compiler.h"

namespace sluice::grammar {
namespace {

using Kind = JsonValue::Kind;
using Names = std::set<std::string>;

// Each is compared with all others, which takes time.
constexpr size_t kMaxOneOf = 200;
constexpr size_t kMaxPairs = 10'000;

// Returns "Cat" for "#/components/schemas/Cat" or "Cat".
absl::string_view LastPart(absl::string_view reference) {
  return reference.substr(reference.rfind('/') + 1);
}

}  // namespace

absl::StatusOr<Grammar::ExprId> SchemaCompiler::AllOf(const SchemaAt& at) {
  const JsonValue& list = *at.schema->Find("allOf");
  SLUICE_RETURN_IF_ERROR(OnlyBeside(at, "allOf", {}));
  if (!list.is(Kind::kArray) || list.items.size() != 1) {
    return Refuse(at, "\"allOf\" is supported with one schema only");
  }
  return Schema(ChildOf(ChildOf(at, "allOf", &list), "0", &list.items[0]));
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::AnyOf(const SchemaAt& at,
                                                      absl::string_view keyword) {
  SLUICE_RETURN_IF_ERROR(OnlyBeside(at, keyword, {}));
  const JsonValue& list = *at.schema->Find(keyword);
  if (!list.is(Kind::kArray) || list.items.empty()) {
    return Refuse(at, absl::StrCat("\"", keyword, "\" must be a list of schemas"));
  }
  if (keyword == "oneOf" && list.items.size() > kMaxOneOf) {
    return absl::ResourceExhaustedError(
        Refuse(at, absl::StrCat("\"oneOf\" has more than ", kMaxOneOf, " schemas")).message());
  }
  std::vector<SchemaAt> branches;
  const SchemaAt list_at = ChildOf(at, keyword, &list);
  for (size_t i = 0; i < list.items.size(); ++i) {
    branches.push_back(ChildOf(list_at, absl::StrCat(i), &list.items[i]));
    for (size_t j = 0; keyword == "oneOf" && j < i; ++j) {
      if (!Disjoint(branches[j], branches[i], 0)) return Discriminated(at, j, i);
    }
  }
  std::vector<ExprId> ways;
  for (const SchemaAt& branch : branches) {
    SLUICE_ASSIGN_OR_RETURN(const ExprId way, Schema(branch));
    ways.push_back(way);
  }
  return g_.Choice(std::move(ways));
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::Discriminated(const SchemaAt& at, size_t one,
                                                              size_t other) {
  const absl::Status refused = Refuse(
      at, absl::StrCat(
              "\"oneOf\" is supported where its schemas tell apart by type, by constants or by a "
              "\"discriminator\", and ",
              one, " and ", other, " do not; is \"anyOf\" meant?"));
  const JsonValue* const discriminator = at.schema->Find("discriminator");
  const JsonValue* const property =
      discriminator == nullptr ? nullptr : discriminator->Find("propertyName");
  if (property == nullptr || !property->is(Kind::kString)) return refused;
  const JsonValue& list = *at.schema->Find("oneOf");
  const SchemaAt list_at = ChildOf(at, "oneOf", &list);
  Names taken;
  std::vector<ExprId> ways;
  for (size_t i = 0; i < list.items.size(); ++i) {
    const SchemaAt branch = ChildOf(list_at, absl::StrCat(i), &list.items[i]);
    SLUICE_ASSIGN_OR_RETURN(const SchemaAt target, ObjectOf(branch));
    const JsonValue* const members = target.schema->Find("properties");
    const JsonValue* const member = members == nullptr ? nullptr : members->Find(property->text);
    if (member == nullptr) return refused;
    const Names names = NamesOf(branch, target, discriminator->Find("mapping"));
    Tag tag{property->text, {}};
    Names literals;
    for (const JsonValue* const value : LiteralsOf(*member)) literals.insert(JsonText(*value));
    std::set_intersection(literals.begin(), literals.end(), names.begin(), names.end(),
                          std::inserter(tag.values, tag.values.end()));
    if (tag.values.empty()) tag.values = literals.empty() ? names : literals;
    if (tag.values.empty()) return refused;
    for (const std::string& value : tag.values) {
      if (!taken.insert(value).second) return refused;
    }
    SLUICE_ASSIGN_OR_RETURN(const ExprId way, Tagged(target, tag));
    ways.push_back(way);
  }
  return g_.Choice(std::move(ways));
}

absl::StatusOr<SchemaAt> SchemaCompiler::ObjectOf(const SchemaAt& branch) const {
  constexpr int kMaxSteps = 8;
  SchemaAt place = branch;
  for (int step = 0; step < kMaxSteps; ++step) {
    SLUICE_RETURN_IF_ERROR(CheckKeywords(place));
    const JsonValue* const all_of = place.schema->Find("allOf");
    if (place.schema->Find("$ref") != nullptr) {
      SLUICE_RETURN_IF_ERROR(OnlyBeside(place, "$ref", {}));
      SLUICE_ASSIGN_OR_RETURN(place, Resolve(place));
    } else if (all_of != nullptr && all_of->is(Kind::kArray) && all_of->items.size() == 1) {
      SLUICE_RETURN_IF_ERROR(OnlyBeside(place, "allOf", {}));
      place = ChildOf(ChildOf(place, "allOf", all_of), "0", &all_of->items[0]);
    } else {
      break;
    }
  }
  SLUICE_RETURN_IF_ERROR(
      OnlyBeside(place, "properties", {"type", "required", "additionalProperties"}));
  return place;
}

std::set<std::string> SchemaCompiler::NamesOf(const SchemaAt& branch, const SchemaAt& target,
                                              const JsonValue* mapping) const {
  Names names;
  const auto add = [&](absl::string_view name) {
    std::string text;
    AppendJsonString(name, &text);
    names.insert(std::move(text));
  };
  const JsonValue* const ref = branch.schema->Find("$ref");
  const absl::string_view name = ref == nullptr ? "" : LastPart(ref->text);
  for (size_t i = 0; mapping != nullptr && i < mapping->keys.size(); ++i) {
    const std::string& to = mapping->items[i].text;
    const absl::StatusOr<SchemaAt> place = known_places_.Resolve(branch, to);
    const bool is_target = place.ok() && place->schema == target.schema;
    if (is_target || (!name.empty() && to == name)) add(mapping->keys[i]);
  }
  if (names.empty() && !name.empty()) add(name);
  return names;
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::Tagged(const SchemaAt& at, const Tag& tag) {
  const std::string key = absl::StrCat(tag.property, "=", absl::StrJoin(tag.values, ","));
  const auto [it, is_new] = tagged_.try_emplace({at.schema, key}, -1);
  if (!is_new) return g_.Use(it->second);
  const Grammar::RuleId rule = g_.AddRule(at.path);
  it->second = rule;  // first, as it may refer to itself
  SLUICE_ASSIGN_OR_RETURN(const ExprId body, Object(at, &tag));
  g_.Define(rule, body);
  return g_.Use(rule);
}

bool SchemaCompiler::Disjoint(const SchemaAt& a, const SchemaAt& b, int depth) const {
  constexpr int kMaxDepth = 8;  // of references and of objects in objects
  if (depth > kMaxDepth) return false;
  for (const auto& [one, other] : {std::pair(a, b), std::pair(b, a)}) {
    if (one.schema->is(Kind::kFalse)) return true;
    if (!one.schema->is(Kind::kObject)) return false;
    if (one.schema->Find("$ref") != nullptr) {
      const absl::StatusOr<SchemaAt> target = Resolve(one);
      return target.ok() && Disjoint(*target, other, depth + 1);
    }
  }
  const std::vector<const JsonValue*> a_values = LiteralsOf(*a.schema),
                                      b_values = LiteralsOf(*b.schema);
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
      return std::any_of(types.begin(), types.end(),
                         [&](const std::string& type) { return IsOfType(*value, type); });
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
  // Finds objects that must have a key with different values.
  const auto required = [](const SchemaAt& at, const std::string& key) {
    const JsonValue* const names = at.schema->Find("required");
    return names != nullptr && std::any_of(names->items.begin(), names->items.end(),
                                           [&](const JsonValue& name) { return name.text == key; });
  };
  const JsonValue *const a_members = a.schema->Find("properties"), *const b_members =
                                                                       b.schema->Find("properties");
  if (a_members == nullptr || b_members == nullptr || a_members->keys.size() > kMaxOneOf)
    return false;
  for (const std::string& key : a_members->keys) {
    if (b_members->Find(key) == nullptr || !required(a, key) || !required(b, key)) continue;
    if (Disjoint({a_members->Find(key), ""}, {b_members->Find(key), ""}, depth + 1)) return true;
  }
  return false;
}

}  // namespace sluice::grammar
