// Objects, arrays, strings and numbers.
#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "kernels/status_macros.h"
#include "runtime/grammar/integer_range.h"
#include "runtime/grammar/pattern.h"
#include "runtime/grammar/schema_compiler.h"

namespace sluice::grammar {
namespace {

using Kind = JsonValue::Kind;

constexpr size_t kMaxPrefixItems = 1000;
constexpr size_t kMaxNameBytes = 256;  // beside additional properties, which must differ from it

// Formats, as patterns that match only what is valid. February has 28 days: leap years are not regular enough.
#define SLUICE_DATE                                                                                       \
  "(?:[1-9]\\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-" \
  "(?:0[1-9]|1\\d|2[0-8])))"
#define SLUICE_TIME "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)"
#define SLUICE_OCTET "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
constexpr struct {
  const char* name;
  const char* pattern;
} kFormats[] = {
    {"date", "^" SLUICE_DATE "$"},
    {"time", "^" SLUICE_TIME "$"},
    {"date-time", "^" SLUICE_DATE "T" SLUICE_TIME "$"},
    {"uuid", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
    {"ipv4", "^" SLUICE_OCTET "(?:\\." SLUICE_OCTET "){3}$"},
    {"email",
     "^[A-Za-z0-9_+-]+(?:\\.[A-Za-z0-9_+-]+){0,4}@(?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+){0,4}\\.){1,4}[A-Za-z]{2,12}$"}};
#undef SLUICE_DATE
#undef SLUICE_TIME
#undef SLUICE_OCTET

std::string Key(absl::string_view name) {
  std::string quoted;
  AppendJsonString(name, &quoted);
  return quoted;
}

}  // namespace

absl::StatusOr<SchemaCompiler::Count> SchemaCompiler::ReadCount(const SchemaAt& at, absl::string_view min,
                                                                absl::string_view max) const {
  Count count;
  for (const auto& [name, value] : {std::pair(min, &count.min), std::pair(max, &count.max)}) {
    const JsonValue* const found = at.schema->Find(name);
    if (found == nullptr) continue;
    if (!found->is(Kind::kNumber) || !(found->number >= 0) || found->number != std::floor(found->number)) {
      return Refuse(at, absl::StrCat("\"", name, "\" must be a count, not ", JsonText(*found).substr(0, 100)));
    }
    if (found->number > static_cast<double>(limits_.repetitions)) {
      return absl::ResourceExhaustedError(
          Refuse(at, absl::StrCat("\"", name, "\" is more than ", limits_.repetitions)).message());
    }
    *value = static_cast<int32_t>(found->number);
  }
  if (count.max != Grammar::kUnlimited && count.max < count.min) {
    return Refuse(at, absl::StrCat("\"", max, "\" ", count.max, " is below \"", min, "\" ", count.min));
  }
  return count;
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::String(const SchemaAt& at) {
  SLUICE_ASSIGN_OR_RETURN(const Count length, ReadCount(at, "minLength", "maxLength"));
  const JsonValue* const pattern = at.schema->Find("pattern");
  const JsonValue* const format = at.schema->Find("format");
  if (pattern == nullptr && format == nullptr) return json_.String(length.min, length.max);
  const absl::string_view keyword = pattern != nullptr ? "pattern" : "format";
  for (const absl::string_view other : {"minLength", "maxLength", "format"}) {
    if (other == keyword || at.schema->Find(other) == nullptr) continue;
    return Refuse(at, absl::StrCat("\"", other, "\" beside \"", keyword, "\" is not supported"));
  }
  const JsonValue& value = *at.schema->Find(keyword);
  if (!value.is(Kind::kString)) return Refuse(at, absl::StrCat("\"", keyword, "\" must be a text"));
  std::string regex = value.text;
  if (format != nullptr) {
    const auto* const known =
        std::find_if(std::begin(kFormats), std::end(kFormats), [&](const auto& f) { return f.name == value.text; });
    if (known == std::end(kFormats)) {
      return Refuse(at, absl::StrCat("\"format\" \"", value.text.substr(0, 100), "\" is not supported"));
    }
    regex = known->pattern;
  }
  const absl::StatusOr<ExprId> inner = PatternExpr(regex, limits_, &g_, &json_);
  if (!inner.ok()) return absl::Status(inner.status().code(), Refuse(at, inner.status().message()).message());
  return json_.Quoted(*inner);
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::Number(const SchemaAt& at, bool integer) {
  constexpr int64_t kFree = 999'999'999'999'999;       // what stands for no bound: 15 digits
  double min = -INFINITY, max = INFINITY;              // of any number
  double whole_min = -INFINITY, whole_max = INFINITY;  // of integers
  for (const absl::string_view name : {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}) {
    const JsonValue* const bound = at.schema->Find(name);
    if (bound == nullptr) continue;
    if (!bound->is(Kind::kNumber)) return Refuse(at, absl::StrCat("\"", name, "\" must be a number"));
    const double x = bound->number;
    if (std::fabs(x) > static_cast<double>(kFree)) {
      return Refuse(at, absl::StrCat("\"", name, "\" ", bound->text.substr(0, 100), " has more than 15 digits"));
    }
    if (name == "minimum" || name == "exclusiveMinimum") {
      min = std::max(min, x);
      whole_min = std::max(whole_min, name == "minimum" ? std::ceil(x) : std::floor(x) + 1);
    } else {
      max = std::min(max, x);
      whole_max = std::min(whole_max, name == "maximum" ? std::floor(x) : std::ceil(x) - 1);
    }
  }
  if (std::isinf(min) && std::isinf(max)) return integer ? json_.Integer() : json_.Number();
  const auto bounded = [](double x) {
    return static_cast<int64_t>(std::clamp(x, static_cast<double>(-kFree), static_cast<double>(kFree)));
  };
  std::vector<ExprId> ways;
  if (whole_min <= whole_max) ways.push_back(IntegerRange(bounded(whole_min), bounded(whole_max), &g_));
  // A fraction behind n or -n reaches up to n + 1 or -n - 1, which must not be beyond a bound. Six digits
  // keep values next to a bound apart from it in double precision, if the bound is below 10^9.
  constexpr double kFractions = 1e9;
  const bool fractions =
      !integer && (std::isinf(min) || std::fabs(min) < kFractions) && (std::isinf(max) || std::fabs(max) < kFractions);
  if (fractions) {
    const ExprId fraction = g_.Sequence({g_.Text("."), g_.Repeat(g_.Class({{'0', '9'}}), 1, 6)});
    const double first = std::max(whole_min, 0.0), last = std::floor(max) - 1;
    if (first <= last) ways.push_back(g_.Sequence({IntegerRange(bounded(first), bounded(last), &g_), fraction}));
    const double negative_first = std::max(-whole_max, 0.0), negative_last = -std::ceil(min) - 1;
    if (negative_first <= negative_last) {
      ways.push_back(
          g_.Sequence({g_.Text("-"), IntegerRange(bounded(negative_first), bounded(negative_last), &g_), fraction}));
    }
  }
  if (ways.empty()) return Refuse(at, "no number that can be written here lies between its bounds");
  return g_.Choice(std::move(ways));
}

absl::StatusOr<std::optional<Grammar::ExprId>> SchemaCompiler::Additional(const SchemaAt& at,
                                                                          absl::string_view keyword) {
  const JsonValue* const schema = at.schema->Find(keyword);
  if (schema == nullptr) return json_.Value();
  if (schema->is(Kind::kFalse)) return std::nullopt;
  SLUICE_ASSIGN_OR_RETURN(const ExprId value, Schema({schema, absl::StrCat(at.path, "/", keyword)}));
  return value;
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::Array(const SchemaAt& at) {
  SLUICE_ASSIGN_OR_RETURN(const Count count, ReadCount(at, "minItems", "maxItems"));
  if (const JsonValue* const unique = at.schema->Find("uniqueItems"); unique != nullptr && !unique->is(Kind::kFalse)) {
    return Refuse(at, "\"uniqueItems\" is not supported");
  }
  std::vector<ExprId> prefix;
  if (const JsonValue* const list = at.schema->Find("prefixItems"); list != nullptr) {
    if (!list->is(Kind::kArray)) return Refuse(at, "\"prefixItems\" must be a list of schemas");
    if (list->items.size() > kMaxPrefixItems) {
      return absl::ResourceExhaustedError(
          Refuse(at, absl::StrCat("\"prefixItems\" has more than ", kMaxPrefixItems, " schemas")).message());
    }
    for (size_t i = 0; i < list->items.size(); ++i) {
      SLUICE_ASSIGN_OR_RETURN(const ExprId item, Schema({&list->items[i], absl::StrCat(at.path, "/prefixItems/", i)}));
      prefix.push_back(item);
    }
  }
  if (const JsonValue* const items = at.schema->Find("items"); items != nullptr && items->is(Kind::kArray)) {
    return Refuse(at, "\"items\" as a list is not supported; draft 2020-12 calls it \"prefixItems\"");
  }
  SLUICE_ASSIGN_OR_RETURN(const std::optional<ExprId> item, Additional(at, "items"));
  const auto fixed = static_cast<int32_t>(prefix.size());
  const bool limited = count.max != Grammar::kUnlimited;
  if (!item.has_value() && count.min > fixed) return Refuse(at, "no array has as many items as \"minItems\"");

  // From the end: what follows after i items; one that was begun by a comma.
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

absl::StatusOr<std::vector<SchemaCompiler::Property>> SchemaCompiler::Properties(const SchemaAt& at) {
  std::set<std::string> required;
  if (const JsonValue* const names = at.schema->Find("required"); names != nullptr) {
    if (!names->is(Kind::kArray)) return Refuse(at, "\"required\" must be a list of names");
    for (const JsonValue& name : names->items) {
      if (!name.is(Kind::kString)) return Refuse(at, "\"required\" must be a list of names");
      required.insert(name.text);
    }
  }
  std::vector<Property> properties;
  const auto add = [&](const std::string& name, ExprId value, bool is_required) {
    properties.push_back({name, g_.Sequence({g_.Text(Key(name)), json_.Colon(), value}), is_required});
  };
  if (const JsonValue* const members = at.schema->Find("properties"); members != nullptr) {
    if (!members->is(Kind::kObject)) return Refuse(at, "\"properties\" must be an object of schemas");
    for (size_t i = 0; i < members->keys.size(); ++i) {
      const std::string& name = members->keys[i];
      const bool is_required = required.erase(name) > 0;
      const std::string path =
          absl::StrCat(at.path, "/properties/", absl::StrReplaceAll(name, {{"~", "~0"}, {"/", "~1"}}));
      if (members->items[i].is(Kind::kFalse)) {
        if (is_required) return Refuse(at, absl::StrCat("\"", name, "\" is required and may not be there"));
        add(name, g_.Choice({}), false);
        continue;
      }
      SLUICE_ASSIGN_OR_RETURN(const ExprId value, Schema({&members->items[i], path}));
      add(name, value, is_required);
    }
  }
  // What is required without being described is an additional property that has to be there.
  for (const std::string& name : required) {
    SLUICE_ASSIGN_OR_RETURN(const std::optional<ExprId> value, Additional(at, "additionalProperties"));
    if (!value.has_value()) {
      return Refuse(at, absl::StrCat("\"", name, "\" is required, but not among the \"properties\""));
    }
    add(name, *value, true);
  }
  return properties;
}

absl::StatusOr<Grammar::ExprId> SchemaCompiler::Object(const SchemaAt& at) {
  SLUICE_ASSIGN_OR_RETURN(const std::vector<Property> properties, Properties(at));
  std::optional<ExprId> more;
  if (at.schema->Find("additionalProperties") != nullptr || properties.empty()) {
    SLUICE_ASSIGN_OR_RETURN(const std::optional<ExprId> value, Additional(at, "additionalProperties"));
    if (value.has_value()) {
      std::vector<std::string> names;
      for (const Property& property : properties) {
        if (property.name.size() > kMaxNameBytes) {
          return Refuse(at, absl::StrCat("a name of more than ", kMaxNameBytes,
                                         " bytes beside \"additionalProperties\" is not supported"));
        }
        names.push_back(property.name);
      }
      const ExprId key = names.empty() ? json_.String(0, Grammar::kUnlimited) : json_.KeyOtherThan(names);
      more = g_.Sequence({key, json_.Colon(), *value});
    }
  }
  const bool may_be_empty =
      std::none_of(properties.begin(), properties.end(), [](const Property& p) { return p.required; });
  return json_.Enclosed("{", Members(properties, more, at.path), may_be_empty, "}");
}

Grammar::ExprId SchemaCompiler::Members(const std::vector<Property>& properties, std::optional<ExprId> more,
                                        const std::string& path) {
  // What may follow a member, and how the first one may be, from property i on: i goes down.
  ExprId rest =
      more.has_value() ? g_.Repeat(g_.Sequence({json_.Comma(), *more}), 0, Grammar::kUnlimited) : g_.Sequence({});
  std::vector<ExprId> first;
  if (more.has_value()) first.push_back(g_.Sequence({*more, rest}));
  for (size_t i = properties.size(); i-- > 0;) {
    const Property& p = properties[i];
    // Both are used twice from here on.
    const Grammar::RuleId member = g_.AddRule(absl::StrCat(path, "/properties/", p.name));
    g_.Define(member, p.member);
    const Grammar::RuleId after = g_.AddRule(absl::StrCat("members of ", path, " behind ", p.name));
    g_.Define(after, rest);
    const ExprId next = g_.Sequence({json_.Comma(), g_.Use(member)});
    rest = g_.Sequence({p.required ? next : g_.Optional(next), g_.Use(after)});
    if (p.required) first.clear();
    first.push_back(g_.Sequence({g_.Use(member), g_.Use(after)}));
  }
  return g_.Choice(std::move(first));
}

}  // namespace sluice::grammar
