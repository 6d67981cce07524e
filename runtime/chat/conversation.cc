// Messages to the values of templates.
#include "runtime/chat/conversation.h"

#include <utility>

#include "runtime/text/tokenizer/unicode.h"

namespace sluice {
namespace {

jinja::Value Text(const std::string& text) {
  std::string valid;
  AppendLossyUtf8(text, &valid);
  return jinja::Value::String(std::move(valid));
}

}  // namespace

jinja::Value MessageValue(const ChatMessage& message) {
  TemplateVariables members = {{jinja::Value::String("role"), Text(message.role)},
                               {jinja::Value::String("content"), Text(message.content)}};
  if (!message.reasoning.empty()) {
    members.emplace_back(jinja::Value::String("reasoning_content"), Text(message.reasoning));
  }
  return jinja::Value::Dict(std::move(members));
}

Conversation TextConversation(const std::vector<ChatMessage>& messages) {
  Conversation conversation;
  for (const ChatMessage& message : messages)
    conversation.messages.push_back(MessageValue(message));
  return conversation;
}

TemplateVariables ConversationVariables(const Conversation& conversation,
                                        bool add_generation_prompt) {
  TemplateVariables variables = {
      {jinja::Value::String("messages"), jinja::Value::List(conversation.messages)},
      {jinja::Value::String("tools"), conversation.tools},
      {jinja::Value::String("documents"), jinja::Value::None()},
      {jinja::Value::String("add_generation_prompt"), jinja::Value::Bool(add_generation_prompt)}};
  variables.insert(variables.end(), conversation.variables.begin(), conversation.variables.end());
  return variables;
}

}  // namespace sluice
