// Each post-processor reduced to the ids it puts before and behind the text.
#include "runtime/text/tokenizer/post_processor.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/component.h"
#include "runtime/text/tokenizer/vocabulary.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

using nlohmann::json;

absl::StatusOr<int32_t> ReadId(const json& value) {
  if (value.is_number_unsigned()) {
    const uint64_t id = *value.get_ptr<const json::number_unsigned_t*>();
    if (id < static_cast<uint64_t>(kMaxTokenId)) return static_cast<int32_t>(id);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a token id is not an integer of 0 to ", kMaxTokenId - 1));
}

// Appends the ids of one special token of a template, from its table "special_tokens".
absl::Status AppendSpecial(const json& component, const std::string& name,
                           std::vector<int32_t>* ids) {
  const json* table = JsonFind(component, "special_tokens");
  const json* entry = table == nullptr ? nullptr : JsonFind(*table, name);
  const json* values = entry == nullptr ? nullptr : JsonFind(*entry, "ids");
  if (values == nullptr || !values->is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"special_tokens\" has no ids for \"", name.substr(0, 80), "\""));
  }
  for (const json& value : *values) {
    SLUICE_ASSIGN_OR_RETURN(const int32_t id, ReadId(value));
    ids->push_back(id);
  }
  return absl::OkStatus();
}

absl::StatusOr<SpecialTokens> ReadTemplate(const json& component) {
  SLUICE_RETURN_IF_ERROR(CheckKeys(component, {"type", "single", "pair", "special_tokens"}));
  const json* pieces = JsonFind(component, "single");
  if (pieces == nullptr || !pieces->is_array()) {
    return absl::InvalidArgumentError("\"single\" is not an array");
  }
  SpecialTokens tokens;
  int sequences = 0;
  for (const json& piece : *pieces) {
    const json* special = JsonFind(piece, "SpecialToken");
    const json* sequence = JsonFind(piece, "Sequence");
    if (special != nullptr) {
      SLUICE_ASSIGN_OR_RETURN(const std::string name, JsonString(*special, "id"));
      SLUICE_RETURN_IF_ERROR(
          AppendSpecial(component, name, sequences == 0 ? &tokens.before : &tokens.after));
    } else if (sequence != nullptr) {
      SLUICE_ASSIGN_OR_RETURN(const std::string id, JsonString(*sequence, "id"));
      if (id != "A") return absl::InvalidArgumentError("\"single\" holds another sequence than A");
      ++sequences;
    } else {
      return absl::InvalidArgumentError(
          "a piece of \"single\" is neither a SpecialToken nor a Sequence");
    }
  }
  if (sequences != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"single\" holds the sequence ", sequences, " times, expected once"));
  }
  return tokens;
}

// Reads ["[SEP]", 102].
absl::StatusOr<int32_t> ReadNamedId(const json& component, absl::string_view key) {
  const json* pair = JsonFind(component, key);
  if (pair == nullptr || !pair->is_array() || pair->size() != 2) {
    return absl::InvalidArgumentError(absl::StrCat("\"", key, "\" is not [token, id]"));
  }
  return ReadId((*pair)[1]);
}

absl::StatusOr<SpecialTokens> ReadBert(const json& component) {
  SLUICE_RETURN_IF_ERROR(
      CheckKeys(component, {"type", "sep", "cls", "trim_offsets", "add_prefix_space"}));
  SLUICE_ASSIGN_OR_RETURN(const int32_t cls, ReadNamedId(component, "cls"));
  SLUICE_ASSIGN_OR_RETURN(const int32_t sep, ReadNamedId(component, "sep"));
  return SpecialTokens{{cls}, {sep}};
}

absl::StatusOr<SpecialTokens> ReadSequence(const json& component) {
  SLUICE_RETURN_IF_ERROR(CheckKeys(component, {"type", "processors"}));
  const json* members = JsonFind(component, "processors");
  if (members == nullptr || !members->is_array()) {
    return absl::InvalidArgumentError("\"processors\" is not an array");
  }
  SpecialTokens all;
  for (const json& member : *members) {  // each wraps what those before it made
    SLUICE_ASSIGN_OR_RETURN(const SpecialTokens tokens, ReadPostProcessor(member));
    all.before.insert(all.before.begin(), tokens.before.begin(), tokens.before.end());
    all.after.insert(all.after.end(), tokens.after.begin(), tokens.after.end());
  }
  return all;
}

}  // namespace

absl::StatusOr<SpecialTokens> ReadPostProcessor(const json& component) {
  SLUICE_ASSIGN_OR_RETURN(const std::string type, ComponentType(component));
  absl::StatusOr<SpecialTokens> tokens = absl::InvalidArgumentError("not supported");
  if (type == "TemplateProcessing") {
    tokens = ReadTemplate(component);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    tokens = ReadBert(component);
  } else if (type == "Sequence") {
    tokens = ReadSequence(component);
  } else if (type == "ByteLevel") {
    SLUICE_RETURN_IF_ERROR(Annotate(
        CheckKeys(component, {"type", "add_prefix_space", "trim_offsets", "use_regex"}), type));
    return SpecialTokens{};
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("the type \"", type.substr(0, 80), "\" is not supported"));
  }
  if (!tokens.ok()) return Annotate(tokens.status(), type);
  return tokens;
}

}  // namespace sluice
