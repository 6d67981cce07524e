// Reads the two files that name special tokens.
#include "runtime/chat/special_tokens.h"

#include <string>
#include <utility>

#include "kernels/status_macros.h"
#include "runtime/chat/config_file.h"
#include "storage/json.h"

namespace sluice {
namespace {

using nlohmann::json;

// Missing where the file has something else.
jinja::Value TokenText(const json& token) {
  const json* const content = token.is_object() ? JsonFind(token, "content") : &token;
  const std::string* const text = content == nullptr ? nullptr : content->get_ptr<const std::string*>();
  return text == nullptr ? jinja::Value() : jinja::Value::String(*text);
}

}  // namespace

absl::StatusOr<TemplateVariables> ReadSpecialTokens(const ModelFiles& files) {
  static constexpr const char* kNames[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                           "pad_token", "cls_token", "mask_token"};
  TemplateVariables tokens;
  for (const char* const file : {"special_tokens_map.json", "tokenizer_config.json"}) {
    SLUICE_ASSIGN_OR_RETURN(const json config, ReadConfigFile(files, file));
    for (const char* const name : kNames) {
      const json* const token = JsonFind(config, name);
      if (token == nullptr) continue;
      jinja::Value text = TokenText(*token);
      if (!text.is_missing()) tokens.emplace_back(jinja::Value::String(name), std::move(text));
    }
    const json* const more = JsonFind(config, "additional_special_tokens");
    if (more == nullptr || !more->is_array()) continue;
    std::vector<jinja::Value> list;
    for (const json& token : *more) {
      jinja::Value text = TokenText(token);
      if (!text.is_missing()) list.push_back(std::move(text));
    }
    tokens.emplace_back(jinja::Value::String("additional_special_tokens"), jinja::Value::List(std::move(list)));
  }
  return tokens;
}

}  // namespace sluice
