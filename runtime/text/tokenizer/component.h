// Reading parts that the components of tokenizer.json (normalizers, pre-tokenizers, ...) have in
// common: a type, a known set of keys, and patterns. Anything unknown is an error that names it.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_COMPONENT_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_COMPONENT_H_

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "runtime/text/tokenizer/regex.h"

namespace sluice {

// Puts "`context`: " before the message of `status`; OK stays OK.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// Returns the member "type" of a component. InvalidArgument: not an object, or no type.
absl::StatusOr<std::string> ComponentType(const nlohmann::json& component);

// InvalidArgument: `object` is not an object, or has a key, which is named, that is not in `known`.
absl::Status CheckKeys(const nlohmann::json& object,
                       std::initializer_list<absl::string_view> known);

// Returns how long steps may make a text of `bytes`: a hostile file could have many that each
// double it.
constexpr size_t MostBytesOf(size_t bytes) { return 64 * bytes + (size_t{1} << 20); }

// Reads a boolean member; `otherwise` if it is missing or null.
absl::StatusOr<bool> BoolOr(const nlohmann::json& object, absl::string_view key, bool otherwise);

// Reads a string member that is exactly one character.
absl::StatusOr<uint32_t> CharacterMember(const nlohmann::json& object, absl::string_view key);

// The pattern that Split and Replace search for: {"String": text} or {"Regex": pattern}.
class Pattern {
 public:
  // Reads member "pattern". InvalidArgument: neither form, or an invalid regex.
  static absl::StatusOr<Pattern> FromJson(const nlohmann::json& component);

  // Appends all matches in `text` from left to right. An empty string matches nothing.
  // Errors of Regex::FindAll.
  absl::Status FindAll(absl::string_view text, SearchBudget* budget,
                       std::vector<TextRange>* matches) const;

  // Returns the string that is searched for, or nullptr if it is a regex.
  const std::string* text() const { return regex_.has_value() ? nullptr : &text_; }
  int64_t MemoryBytes() const;

 private:
  std::string text_;
  std::optional<Regex> regex_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_COMPONENT_H_
