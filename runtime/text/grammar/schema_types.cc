// Compiles schemas of objects, arrays, strings and numbers.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/grammar/formats.h"
#include "runtime/text/grammar/number_range.h"
#include "runtime/text/grammar/pattern.h"
#include "runtime/text/grammar/pattern_intersection.h"
#include "runtime/text/grammar/schema_compiler.h"

namespace sluice::grammar {
namespace {

using Kind = JsonValue::Kind;

constexpr size_t kMaxPrefixItems = 1000;
constexpr size_t kMaxNameBytes = 256;  // beside additional properties, which must differ from it

std::string Key(absl::string_view name) {
  std::string quoted;
  AppendJsonString(name, &quoted);
  return quoted;
}

}  // namespace

absl::StatusOr<SchemaCompiler::Count> SchemaCompiler::ReadCount(const SchemaAt& at,
                                                                absl::string_view min,
                                                                absl::string_view max) const {
  Count count;
  for (const auto& [name, value] : {std::pair(min, &count.min), std::pair(max, &count.max)}) {
    const JsonValue* const found = at.schema->Find(name);
    if (found == nullptr) continue;
    if (!found->is(Kind::kNumber) || !(found->number >= 0) ||
        found->number != std::floor(found->number)) {
      return Refuse(at, absl::StrCat("\"", name, "\" must be a count, not ",
                                     JsonText(*found).substr(0, 100)));
    }
    if (found->number > static_cast<double>(limits_.repetitions)) {
      return absl::ResourceExhaustedError(
          Refuse(at, absl::StrCat("\"", name, "\" is more than ", limits_.repetitions)).message());
    }
    *value = static_cast<int32_t>(found->number);
  }
  if (count.max != Grammar::kUnlimited && count.max < count.min) {
    return Refuse(at,
                  absl::StrCat("\"", max, "\" ", count.max, " is below \"", min, "\" ", count.min));
  }
  return count;
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::String(const SchemaAt& at) {
  SLUICE_ASSIGN_OR_RETURN(const Count length, ReadCount(at, "minLength", "maxLength"));
  const int32_t longest =
      length.max == Grammar::kUnlimited ? std::numeric_limits<int32_t>::max() : length.max;
  Grammar characters;
  std::vector<ExprId> patterns;
  std::string keywords;  // those that have to hold together
  for (const absl::string_view keyword : {"pattern", "format", "minLength", "maxLength"}) {
    const JsonValue* const value = at.schema->Find(keyword);
    if (value == nullptr) continue;
    if (keyword == "pattern" || keyword == "format") {
      if (!value->is(Kind::kString))
        return Refuse(at, absl::StrCat("\"", keyword, "\" must be a text"));
      const char* const regex =
          keyword == "pattern" ? value->text.c_str() : FormatPattern(value->text, longest);
      if (regex == nullptr) continue;  // a format that is unknown annotates
      const absl::StatusOr<ExprId> pattern = PatternExpr(
          keyword == "pattern" ? absl::string_view(value->text) : regex, limits_, &characters);
      if (!pattern.ok())
        return absl::Status(pattern.status().code(),
                            Refuse(at, pattern.status().message()).message());
      patterns.push_back(*pattern);
    }
    absl::StrAppend(&keywords, keywords.empty() ? "" : ", ", "\"", keyword, "\" ",
                    JsonText(*value).substr(0, 100));
  }
  if (patterns.empty()) return json_.String(length.min, length.max);
  const absl::StatusOr<std::optional<ExprId>> all =
      PatternIntersection(patterns, length.min, length.max, limits_, &characters);
  if (!all.ok())
    return absl::Status(all.status().code(), Refuse(at, all.status().message()).message());
  if (!all->has_value()) return Refuse(at, absl::StrCat("no text fits its ", keywords));
  return json_.Quoted(json_.Spelled(characters, **all));
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::Number(const SchemaAt& at, bool integer) {
  std::vector<NumberBound> lower, upper;
  const auto read = [&](absl::string_view closed, absl::string_view open,
                        std::vector<NumberBound>* bounds) {
    // Draft 4: true says that the other keyword's bound is open.
    const JsonValue* const exclusive = at.schema->Find(open);
    const bool is_open = exclusive != nullptr && exclusive->is(Kind::kTrue);
    for (const absl::string_view keyword : {closed, open}) {
      const JsonValue* const bound = at.schema->Find(keyword);
      if (bound == nullptr || (keyword == open && bound->is_bool())) continue;
      if (!bound->is(Kind::kNumber))
        return Refuse(at, absl::StrCat("\"", keyword, "\" must be a number"));
      bounds->push_back(
          {std::string(keyword), bound->text, bound->number, keyword == open || is_open});
    }
    if (is_open && bounds->empty()) {
      return Refuse(at, absl::StrCat("\"", open, "\" is true, and there is no \"", closed, "\""));
    }
    return absl::OkStatus();
  };
  SLUICE_RETURN_IF_ERROR(read("minimum", "exclusiveMinimum", &lower));
  SLUICE_RETURN_IF_ERROR(read("maximum", "exclusiveMaximum", &upper));
  if (lower.empty() && upper.empty()) return integer ? json_.Integer() : json_.Number();
  const absl::StatusOr<ExprId> range = NumberRange(lower, upper, integer, &g_);
  if (!range.ok()) return Refuse(at, range.status().message());
  return range;
}

absl::StatusOr<std::optional<Grammar::ExprId>> SchemaCompiler::Additional(
    const SchemaAt& at, absl::string_view keyword) {
  const JsonValue* const schema = at.schema->Find(keyword);
  if (schema == nullptr) return json_.Value();
  if (schema->is(Kind::kFalse)) return std::nullopt;
  SLUICE_ASSIGN_OR_RETURN(const ExprId value, Schema(ChildOf(at, keyword, schema)));
  return value;
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::Array(const SchemaAt& at) {
  SLUICE_ASSIGN_OR_RETURN(const Count count, ReadCount(at, "minItems", "maxItems"));
  if (const JsonValue* const unique = at.schema->Find("uniqueItems");
      unique != nullptr && !unique->is(Kind::kFalse)) {
    return Refuse(at, "\"uniqueItems\" is not supported");
  }
  // Before draft 2020-12 "items" may be a list, and "additionalItems" is for what is behind it.
  const JsonValue* const items = at.schema->Find("items");
  const bool old_list = items != nullptr && items->is(Kind::kArray);
  const absl::string_view first_items = old_list ? "items" : "prefixItems";
  if (old_list && at.schema->Find("prefixItems") != nullptr) {
    return Refuse(at, "\"items\" as a list beside \"prefixItems\" is not supported");
  }
  std::vector<ExprId> prefix;
  if (const JsonValue* const list = at.schema->Find(first_items); list != nullptr) {
    if (!list->is(Kind::kArray)) return Refuse(at, "\"prefixItems\" must be a list of schemas");
    if (list->items.size() > kMaxPrefixItems) {
      return absl::ResourceExhaustedError(
          Refuse(at,
                 absl::StrCat("\"", first_items, "\" has more than ", kMaxPrefixItems, " schemas"))
              .message());
    }
    const SchemaAt list_at = ChildOf(at, first_items, list);
    for (size_t i = 0; i < list->items.size(); ++i) {
      SLUICE_ASSIGN_OR_RETURN(const ExprId item,
                              Schema(ChildOf(list_at, absl::StrCat(i), &list->items[i])));
      prefix.push_back(item);
    }
  }
  SLUICE_ASSIGN_OR_RETURN(const std::optional<ExprId> item,
                          Additional(at, old_list ? "additionalItems" : "items"));
  const auto fixed = static_cast<int32_t>(prefix.size());
  const bool limited = count.max != Grammar::kUnlimited;
  if (!item.has_value() && count.min > fixed)
    return Refuse(at, "no array has as many items as \"minItems\"");

  // Built from the end: what follows i items. One that is not the first begins with a comma.
  ExprId list = g_.Sequence({});
  const bool more = item.has_value() && (!limited || count.max > fixed);
  if (fixed == 0) {
    if (more) list = json_.List(*item, std::max(count.min, 1), count.max);
    return json_.Enclosed("[", list, /*may_be_empty=*/count.min == 0, "]");
  }
  if (more) {
    list = g_.Repeat(g_.Sequence({json_.Comma(), *item}), std::max(count.min - fixed, 0),
                     limited ? count.max - fixed : Grammar::kUnlimited);
  }
  const int32_t last = limited ? std::min(fixed, count.max) : fixed;
  for (int32_t i = last - 1; i > 0; --i) {
    list = g_.Sequence({json_.Comma(), prefix[i], list});
    if (i >= count.min) list = g_.Optional(list);
  }
  if (last > 0) list = g_.Sequence({prefix[0], list});
  return json_.Enclosed("[", list, /*may_be_empty=*/count.min == 0, "]");
}

absl::StatusOr<std::vector<SchemaCompiler::Property>> SchemaCompiler::Properties(const SchemaAt& at,
                                                                                 const Tag* tag) {
  std::set<std::string> required;
  // A boolean is draft 3's, about the schema itself as a property.
  if (const JsonValue* const names = at.schema->Find("required");
      names != nullptr && !names->is_bool()) {
    if (!names->is(Kind::kArray)) return Refuse(at, "\"required\" must be a list of names");
    for (const JsonValue& name : names->items) {
      if (!name.is(Kind::kString)) return Refuse(at, "\"required\" must be a list of names");
      required.insert(name.text);
    }
  }
  std::vector<Property> properties;
  const auto add = [&](const std::string& name, ExprId value, bool is_required) {
    properties.push_back(
        {name, g_.Sequence({g_.Text(Key(name)), json_.Colon(), value}), is_required});
  };
  if (const JsonValue* const members = at.schema->Find("properties"); members != nullptr) {
    if (!members->is(Kind::kObject))
      return Refuse(at, "\"properties\" must be an object of schemas");
    const SchemaAt members_at = ChildOf(at, "properties", members);
    for (size_t i = 0; i < members->keys.size(); ++i) {
      const std::string& name = members->keys[i];
      const JsonValue* const old_required = members->items[i].Find("required");
      const bool is_required =
          required.erase(name) > 0 || (old_required != nullptr && old_required->is(Kind::kTrue));
      if (tag != nullptr && tag->property == name) {
        add(name, g_.AnyText({tag->values.begin(), tag->values.end()}), true);
        continue;
      }
      if (members->items[i].is(Kind::kFalse)) {
        if (is_required)
          return Refuse(at, absl::StrCat("\"", name, "\" is required and may not be there"));
        add(name, g_.Choice({}), false);
        continue;
      }
      SLUICE_ASSIGN_OR_RETURN(const ExprId value,
                              Schema(ChildOf(members_at, name, &members->items[i])));
      add(name, value, is_required);
    }
  }
  // A required name that is not described is an additional property that must be there.
  for (const std::string& name : required) {
    SLUICE_ASSIGN_OR_RETURN(const std::optional<ExprId> value,
                            Additional(at, "additionalProperties"));
    if (!value.has_value()) {
      return Refuse(at,
                    absl::StrCat("\"", name, "\" is required, but not among the \"properties\""));
    }
    add(name, *value, true);
  }
  return properties;
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::Object(const SchemaAt& at, const Tag* tag) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Property> properties, Properties(at, tag));
  std::optional<ExprId> more;
  if (at.schema->Find("additionalProperties") != nullptr || properties.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const std::optional<ExprId> value,
                            Additional(at, "additionalProperties"));
    if (value.has_value()) {
      std::vector<std::string> names;
      for (const Property& property : properties) {
        if (property.name.size() > kMaxNameBytes) {
          return Refuse(at,
                        absl::StrCat("a name of more than ", kMaxNameBytes,
                                     " bytes beside \"additionalProperties\" is not supported"));
        }
        names.push_back(property.name);
      }
      const ExprId key =
          names.empty() ? json_.String(0, Grammar::kUnlimited) : json_.KeyOtherThan(names);
      more = g_.Sequence({key, json_.Colon(), *value});
    }
  }
  const bool may_be_empty = std::none_of(properties.begin(), properties.end(),
                                         [](const Property& p) { return p.required; });
  return json_.Enclosed("{", Members(properties, more, at.path), may_be_empty, "}");
}

Grammar::ExprId SchemaCompiler::Members(const std::vector<Property>& properties,
                                        std::optional<ExprId> more, const std::string& path) {
  // Built from the last property on: what may follow a member, and how the first member may be,
  // from property i on.
  ExprId rest = more.has_value()
                    ? g_.Repeat(g_.Sequence({json_.Comma(), *more}), 0, Grammar::kUnlimited)
                    : g_.Sequence({});
  std::vector<ExprId> first;
  if (more.has_value()) first.push_back(g_.Sequence({*more, rest}));
  for (size_t i = properties.size(); i-- > 0;) {
    const Property& p = properties[i];
    // Both are used twice from here on.
    const Grammar::RuleId member =
        g_.AddRule(absl::StrCat(path, "/properties/", p.name.substr(0, 100)));
    g_.Define(member, p.member);
    const Grammar::RuleId after =
        g_.AddRule(absl::StrCat("members of ", path, " behind ", p.name.substr(0, 100)));
    g_.Define(after, rest);
    const ExprId next = g_.Sequence({json_.Comma(), g_.Use(member)});
    rest = g_.Sequence({p.required ? next : g_.Optional(next), g_.Use(after)});
    if (p.required) first.clear();
    first.push_back(g_.Sequence({g_.Use(member), g_.Use(after)}));
  }
  return g_.Choice(std::move(first));
}

}  // namespace sluice::grammar
