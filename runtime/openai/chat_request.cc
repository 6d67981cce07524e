// Messages and tools as values of templates, all else as for completions.
#include "runtime/openai/chat_request.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/chat/conversation.h"
#include "runtime/openai/request_members.h"
#include "runtime/text/jinja/json.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

using jinja::Value;
using nlohmann::json;

// Of an answer without a limit of its own: the context ends it.
constexpr int64_t kUnlimited = int64_t{1} << 40;

// Text, or parts of text.
MaybeError ReadContent(const std::string& param, const Value& content, std::string* text) {
  if (content.is_string()) {
    *text = content.text();
    return std::nullopt;
  }
  if (!content.is_list()) return WrongType(param, "a string or an array of parts");
  for (const Value& part : content.items()) {
    const Value* const type = part.is_dict() ? part.dict().Find("type") : nullptr;
    if (type == nullptr || !type->is_string())
      return WrongType(param, "a string or an array of parts with a type");
    if (type->text() != "text") {
      return Wrong(param,
                   absl::StrCat("has a part of type \"", ShortName(type->text()),
                                "\", only text is supported"),
                   "unsupported_parameter");
    }
    const Value* const piece = part.dict().Find("text");
    if (piece == nullptr || !piece->is_string()) return Wrong(param, "has a part without text");
    absl::StrAppend(text, text->empty() ? "" : "\n", piece->text());
  }
  return std::nullopt;
}

// OpenAI's arguments are JSON as text, empty where there are none; templates want the object.
// `index`, which says where a call stood in a stream, is left out.
MaybeError ReadToolCalls(const std::string& param, const Value& calls, Value* out) {
  if (!calls.is_list()) return WrongType(param, "an array");
  std::vector<Value> list;
  for (const Value& call : calls.items()) {
    const Value* const function = call.is_dict() ? call.dict().Find("function") : nullptr;
    if (function == nullptr || !function->is_dict())
      return WrongType(param, "an array of calls with a function");
    TemplateVariables members = function->dict().entries();
    for (auto& [key, value] : members) {
      if (key.text() != "arguments" || !value.is_string()) continue;
      absl::StatusOr<Value> parsed =
          jinja::ValueFromJson(value.text().empty() ? "{}" : value.text(), "arguments");
      if (!parsed.ok()) return Wrong(param, "has arguments that are not JSON");
      value = *std::move(parsed);
    }
    TemplateVariables entries;
    for (const auto& [key, value] : call.dict().entries()) {
      if (key.text() == "index") continue;
      entries.emplace_back(key, key.text() == "function" ? Value::Dict(members) : value);
    }
    list.push_back(Value::Dict(std::move(entries)));
  }
  *out = Value::List(std::move(list));
  return std::nullopt;
}

// What an assistant's message has when it comes back as an API gave it, and no template looks at.
bool IsEchoedMember(absl::string_view role, absl::string_view name) {
  return role == "assistant" &&
         (name == "annotations" || name == "id" || name == "parsed" || name == "refusal");
}

// A message of an assistant without content: what it refused with, or nothing, where the content is
// null.
std::optional<Value> ContentInstead(const Value& message, absl::string_view role) {
  if (role != "assistant") return std::nullopt;
  const Value* const refusal = message.dict().Find("refusal");
  if (refusal != nullptr && refusal->is_string()) return *refusal;
  if (message.dict().Find("content") != nullptr) return Value::String("");
  return std::nullopt;
}

MaybeError ReadMessage(const std::string& param, const Value& message, Value* out) {
  if (!message.is_dict()) return WrongType(param, "an object");
  static constexpr absl::string_view kRoles[] = {"system", "developer", "user", "assistant",
                                                 "tool"};
  const Value* const role = message.dict().Find("role");
  if (role == nullptr || !role->is_string() ||
      std::find(std::begin(kRoles), std::end(kRoles), role->text()) == std::end(kRoles)) {
    return Wrong(absl::StrCat(param, ".role"),
                 "must be system, developer, user, assistant or tool");
  }
  std::string content;
  bool has_content = false, has_calls = false;
  TemplateVariables entries;
  for (const auto& [key, value] : message.dict().entries()) {
    const std::string& name = key.text();
    if (value.is_none() || IsEchoedMember(role->text(), name)) continue;
    const std::string member = absl::StrCat(param, ".", ShortName(name));
    Value read = value;
    MaybeError error;
    if (name == "content") {
      has_content = true;
      error = ReadContent(member, value, &content);
      read = Value::String(content);
    } else if (name == "tool_calls") {
      if (value.is_list() && value.items().empty())
        continue;  // some templates ask only whether there are any
      has_calls = true;
      error = ReadToolCalls(member, value, &read);
    } else if (name != "role" && name != "name" && name != "tool_call_id" &&
               name != "reasoning_content" &&
               (name != "reasoning" || role->text() != "assistant")) {
      error = Wrong(member, "is not a member of a message", "unknown_parameter");
    } else if (!value.is_string()) {
      error = WrongType(member, "a string");
    }
    if (error.has_value()) return error;
    entries.emplace_back(key, std::move(read));
  }
  // vLLM's name of what most templates know as reasoning_content.
  const Value* const reasoning = message.dict().Find("reasoning");
  const Value* const known = message.dict().Find("reasoning_content");
  if (reasoning != nullptr && reasoning->is_string() && (known == nullptr || known->is_none())) {
    entries.emplace_back(Value::String("reasoning_content"), *reasoning);
  }
  if (const std::optional<Value> instead = ContentInstead(message, role->text());
      !has_content && instead.has_value()) {
    entries.emplace_back(Value::String("content"), *instead);
  } else if (!has_content) {
    if (!has_calls)
      return Wrong(absl::StrCat(param, ".content"), "is missing", "missing_required_parameter");
    entries.emplace_back(Value::String("content"), Value::String(""));
  }
  *out = Value::Dict(std::move(entries));
  return std::nullopt;
}

MaybeError ReadMessages(const Value& value, Conversation* chat) {
  if (!value.is_list()) return WrongType("messages", "an array");
  if (value.items().empty()) return Wrong("messages", "is an empty array");
  for (size_t i = 0; i < value.items().size(); ++i) {
    Value message;
    MaybeError error = ReadMessage(absl::StrCat("messages[", i, "]"), value.items()[i], &message);
    if (error.has_value()) return error;
    chat->messages.push_back(std::move(message));
  }
  return std::nullopt;
}

MaybeError ReadTools(const Value& value, Conversation* chat) {
  if (!value.is_list()) return WrongType("tools", "an array of objects");
  for (const Value& tool : value.items()) {
    if (!tool.is_dict()) return WrongType("tools", "an array of objects");
  }
  if (!value.items().empty()) chat->tools = value;
  return std::nullopt;
}

MaybeError ReadChatMember(const std::string& name, const json& value, const Value& ordered,
                          CompletionRequest* request) {
  Conversation& chat = *request->chat;
  if (name == "messages") return ReadMessages(ordered, &chat);
  if (name == "tools") return ReadTools(ordered, &chat);
  if (name == "chat_template_kwargs") {
    if (!ordered.is_dict()) return WrongType(name, "an object");
    for (const auto& entry : ordered.dict().entries()) chat.variables.push_back(entry);
    return std::nullopt;
  }
  if (name == "reasoning_effort") {
    if (!ordered.is_string()) return WrongType(name, "a string");
    chat.variables.emplace_back(Value::String(name), ordered);
    return std::nullopt;
  }
  if (name == "documents") {
    if (!ordered.is_list()) return WrongType(name, "an array");
    if (!ordered.items().empty()) chat.variables.emplace_back(Value::String(name), ordered);
    return std::nullopt;
  }
  if (name == "parallel_tool_calls") return std::nullopt;  // looked at once the tools are known
  if (name == "tool_choice" && (value == "auto" || value == "none")) return std::nullopt;
  if (name == "tool_choice")
    return Wrong(name, "can be \"auto\" or \"none\" only", "unsupported_parameter");
  // vLLM's; the prompt is what the template makes of the messages for an assistant's turn.
  if ((name == "add_generation_prompt" && value == true) ||
      (name == "continue_final_message" && value == false) ||
      (name == "add_special_tokens" && value == false) || (name == "echo" && value == false)) {
    return std::nullopt;
  }
  if (name == "add_generation_prompt" || name == "continue_final_message" ||
      name == "add_special_tokens") {
    return Wrong(name, "can be its default only", "unsupported_parameter");
  }
  if (name == "prompt" || name == "echo")
    return Wrong(name, "is not a parameter of a chat", "unknown_parameter");
  if (name == "logprobs" && !value.is_boolean()) return WrongType(name, "true or false");
  return ReadMember(name, value, request);
}

}  // namespace

std::variant<CompletionRequest, ApiError> ParseChatRequest(const json& body, const Value& ordered) {
  if (!body.is_object() || !ordered.is_dict()) return WrongType("body", "an object");
  CompletionRequest request;
  request.prompts.emplace_back(std::string());
  request.max_tokens = kUnlimited;
  request.chat.emplace();
  for (const auto& [name, value] : body.items()) {
    if (value.is_null()) continue;
    const Value* const same = ordered.dict().Find(Value::String(name));
    if (same == nullptr) return WrongType("body", "an object");
    if (MaybeError error = ReadChatMember(name, value, *same, &request); error.has_value())
      return *std::move(error);
  }
  if (request.chat->messages.empty())
    return Wrong("messages", "is missing", "missing_required_parameter");
  if (const json* choice = JsonFind(body, "tool_choice"); choice != nullptr && *choice == "none") {
    request.chat->tools = Value::None();
  }
  if (const json* parallel = JsonFind(body, "parallel_tool_calls"); parallel != nullptr) {
    if (!parallel->is_boolean()) return WrongType("parallel_tool_calls", "true or false");
    if (*parallel == false && request.chat->has_tools()) {
      return Wrong("parallel_tool_calls", "must be true, its default, if there are tools",
                   "unsupported_parameter");
    }
  }
  const json* const logprobs = JsonFind(body, "logprobs");
  MaybeError error = ReadLogprobs(logprobs, JsonFind(body, "top_logprobs"), &request);
  if (!error.has_value()) error = CheckRequest(request);
  if (error.has_value()) return *std::move(error);
  return request;
}

}  // namespace sluice
