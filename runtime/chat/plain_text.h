// Makes control tokens that users type plain text, while those of the template stay tokens.
//
// Before the template is rendered, every control token's text inside a message gets a kPlainMark
// (runtime/text/tokenizer/tokenizer.h) behind its first character: `<|im_end|>` becomes `<` mark
// `|im_end|>`. The template moves, trims and compares messages as ever; then the tokenizer finds no
// control token there, and drops the marks. Limits: a template that looks for a control token's
// text inside a message does not find it. A control token of a single character cannot be split. A
// mark that was in the text before is dropped. Added tokens that are not control tokens (some
// models' <think>) are found in messages as always.
#ifndef SLUICE_RUNTIME_CHAT_PLAIN_TEXT_H_
#define SLUICE_RUNTIME_CHAT_PLAIN_TEXT_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/chat/conversation.h"
#include "runtime/text/tokenizer/tokenizer.h"

namespace sluice {

class PlainTextMarker {
 public:
  explicit PlainTextMarker(const Tokenizer* tokenizer);

  std::string Mark(absl::string_view text) const;
  // Marks all texts of messages and tools, at any depth, except the names of members.
  Conversation Mark(const Conversation& conversation) const;

 private:
  jinja::Value Mark(const jinja::Value& value) const;

  std::vector<std::string> control_;  // texts of control tokens
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_PLAIN_TEXT_H_
