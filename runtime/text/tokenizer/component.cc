// Checked reading of a component's members.
#include "runtime/text/tokenizer/component.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/unicode.h"
#include "storage/file/json.h"

namespace sluice {

absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

absl::StatusOr<std::string> ComponentType(const nlohmann::json& component) {
  if (!component.is_object()) return absl::InvalidArgumentError("a component is not an object");
  return JsonString(component, "type");
}

absl::Status CheckKeys(const nlohmann::json& object,
                       std::initializer_list<absl::string_view> known) {
  if (!object.is_object()) return absl::InvalidArgumentError("not an object");
  for (auto it = object.begin(); it != object.end(); ++it) {
    const absl::string_view key = it.key();
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the key \"", key.substr(0, 80), "\" is not known"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> BoolOr(const nlohmann::json& object, absl::string_view key, bool otherwise) {
  if (JsonFind(object, key) == nullptr) return otherwise;
  return JsonBool(object, key);
}

absl::StatusOr<uint32_t> CharacterMember(const nlohmann::json& object, absl::string_view key) {
  SLUICE_ASSIGN_OR_RETURN(const std::string text, JsonString(object, key));
  if (!text.empty()) {
    const Utf8Char c = DecodeUtf8(text, 0);
    if (c.state == Utf8State::kValid && static_cast<size_t>(c.size) == text.size()) return c.code;
  }
  return absl::InvalidArgumentError(absl::StrCat("\"", key, "\" is not one character"));
}

absl::StatusOr<Pattern> Pattern::FromJson(const nlohmann::json& component) {
  const nlohmann::json* member = JsonFind(component, "pattern");
  if (member == nullptr) return absl::InvalidArgumentError("\"pattern\" is missing");
  if (member->is_object() && member->size() == 1) {
    Pattern pattern;
    if (member->contains("String")) {
      SLUICE_ASSIGN_OR_RETURN(pattern.text_, JsonString(*member, "String"));
      return pattern;
    }
    if (member->contains("Regex")) {
      SLUICE_ASSIGN_OR_RETURN(const std::string regex, JsonString(*member, "Regex"));
      SLUICE_ASSIGN_OR_RETURN(pattern.regex_, Regex::Compile(regex));
      return pattern;
    }
  }
  return absl::InvalidArgumentError(
      "\"pattern\" is neither {\"String\": ...} nor {\"Regex\": ...}");
}

absl::Status Pattern::FindAll(absl::string_view text, SearchBudget* budget,
                              std::vector<TextRange>* matches) const {
  if (regex_.has_value()) return regex_->FindAll(text, budget, matches);
  if (text_.empty()) return absl::OkStatus();
  for (size_t at = 0; (at = text.find(text_, at)) != absl::string_view::npos; at += text_.size()) {
    matches->push_back({at, at + text_.size()});
    SLUICE_RETURN_IF_ERROR(budget->CheckMemory(matches->size(), kBytesPerMatch));
  }
  return absl::OkStatus();
}

int64_t Pattern::MemoryBytes() const {
  return static_cast<int64_t>(text_.capacity()) + (regex_ ? regex_->MemoryBytes() : 0);
}

}  // namespace sluice
