// Looks for control tokens at each character of a text.
#include "runtime/chat/plain_text.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/text/tokenizer/unicode.h"

namespace sluice {

PlainTextMarker::PlainTextMarker(const Tokenizer* tokenizer) {
  for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
    if (!tokenizer->IsSpecial(id)) continue;
    const absl::string_view text = tokenizer->Token(id);
    if (!text.empty() && text.size() > Utf8Size(text[0])) control_.emplace_back(text);
  }
}

std::string PlainTextMarker::Mark(absl::string_view text) const {
  std::string marked;
  for (size_t at = 0; at < text.size();) {
    const absl::string_view rest = text.substr(at);
    const auto size = static_cast<size_t>(DecodeUtf8(text, at).size);
    absl::StrAppend(&marked, rest.substr(0, size));
    for (const std::string& token : control_) {
      if (!absl::StartsWith(rest, token)) continue;
      absl::StrAppend(&marked, kPlainMark);
      break;
    }
    at += size;
  }
  return marked;
}

jinja::Value PlainTextMarker::Mark(const jinja::Value& value) const {
  if (value.is_string()) return jinja::Value::String(Mark(absl::string_view(value.text())));
  if (value.is_list()) {
    std::vector<jinja::Value> items;
    for (const jinja::Value& item : value.items()) items.push_back(Mark(item));
    return jinja::Value::List(std::move(items));
  }
  if (value.is_dict()) {
    TemplateVariables entries;
    for (const auto& [key, item] : value.dict().entries()) entries.emplace_back(key, Mark(item));
    return jinja::Value::Dict(std::move(entries));
  }
  return value;
}

Conversation PlainTextMarker::Mark(const Conversation& conversation) const {
  Conversation marked = conversation;
  for (jinja::Value& message : marked.messages) message = Mark(message);
  marked.tools = Mark(conversation.tools);
  return marked;
}

}  // namespace sluice
