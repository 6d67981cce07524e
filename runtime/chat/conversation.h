// The input of a chat template: messages, tools, and further variables of a request.
#ifndef SLUICE_RUNTIME_CHAT_CONVERSATION_H_
#define SLUICE_RUNTIME_CHAT_CONVERSATION_H_

#include <string>
#include <vector>

#include "runtime/chat/special_tokens.h"
#include "runtime/text/jinja/value.h"

namespace sluice {

// One message of a conversation that is text only.
struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
  // An assistant's earlier reasoning; templates know it as reasoning_content.
  std::string reasoning = {};
  bool operator==(const ChatMessage&) const = default;
};

struct Conversation {
  std::vector<jinja::Value> messages;  // dicts with text for keys: role, content, tool_calls, ...
  jinja::Value tools = jinja::Value::None();
  TemplateVariables variables = {};  // such as enable_thinking
  bool has_tools() const { return !tools.is_none(); }
};

// Returns `message` as a template sees it; malformed UTF-8 becomes U+FFFD.
jinja::Value MessageValue(const ChatMessage& message);
Conversation TextConversation(const std::vector<ChatMessage>& messages);

// Returns the variables that transformers' apply_chat_template passes: messages, tools, documents
// (None), add_generation_prompt, and the conversation's own.
TemplateVariables ConversationVariables(const Conversation& conversation,
                                        bool add_generation_prompt);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_CONVERSATION_H_
