// Checks the members of a format.
#include "runtime/openai/response_format.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "runtime/openai/request_members.h"

namespace sluice {
namespace {

using nlohmann::json;

const json* Member(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::optional<ApiError> ReadSchema(const json& value, std::optional<GrammarText>* grammar) {
  const json* const format = Member(value, "json_schema");
  if (format == nullptr || !format->is_object()) {
    return Wrong("response_format.json_schema", "must be an object", "missing_required_parameter");
  }
  for (const auto& [name, member] : format->items()) {
    if (name == "name" || name == "schema" || name == "strict" || name == "description") continue;
    return Wrong(absl::StrCat("response_format.json_schema.", ShortName(name)),
                 "is not a parameter of a format", "unknown_parameter");
  }
  const json* const schema = Member(*format, "schema");
  if (schema == nullptr || !schema->is_object()) {
    return Wrong("response_format.json_schema.schema", "must be an object",
                 "missing_required_parameter");
  }
  *grammar = GrammarText{GrammarKind::kJsonSchema, schema->dump()};
  return std::nullopt;
}

}  // namespace

std::optional<ApiError> ReadResponseFormat(absl::string_view name, const json& value,
                                           std::optional<GrammarText>* grammar) {
  if (name == "grammar") {
    const std::string* const text = value.get_ptr<const std::string*>();
    if (text == nullptr) return Wrong(name, "must be a string", "invalid_type");
    *grammar = GrammarText{GrammarKind::kGbnf, *text};
    return std::nullopt;
  }
  if (!value.is_object()) return Wrong(name, "must be an object", "invalid_type");
  const json* const type = Member(value, "type");
  for (const auto& [member, unused] : value.items()) {
    if (member == "type" || (member == "json_schema" && type != nullptr && *type == "json_schema"))
      continue;
    return Wrong(absl::StrCat(name, ".", ShortName(member)), "is not a parameter of this format",
                 "unknown_parameter");
  }
  if (type != nullptr && *type == "text") return std::nullopt;
  if (type != nullptr && *type == "json_schema") return ReadSchema(value, grammar);
  if (type != nullptr && *type == "json_object") {
    *grammar = GrammarText{GrammarKind::kJsonObject};
    return std::nullopt;
  }
  return Wrong(absl::StrCat(name, ".type"), "must be \"text\", \"json_object\" or \"json_schema\"");
}

}  // namespace sluice
