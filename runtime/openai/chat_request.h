// The body of a request to /v1/chat/completions.
#ifndef SLUICE_RUNTIME_OPENAI_CHAT_REQUEST_H_
#define SLUICE_RUNTIME_OPENAI_CHAT_REQUEST_H_

#include <variant>

#include "nlohmann/json.hpp"
#include "runtime/openai/api_error.h"
#include "runtime/openai/completion_request.h"
#include "runtime/text/jinja/value.h"

namespace sluice {

// Reads a body. `ordered` is the same body with its members in their order: templates print it.
// Members are those of completions but prompt and echo, and besides:
//   messages
//     role (system, developer, user, assistant, tool); content: text, or parts of type text, which
//     line ends join; name, tool_calls (arguments as JSON text or object), tool_call_id,
//     reasoning_content. An assistant's message may be as an API gave it: annotations, id, parsed
//     and refusal are left out (a refusal is the content if there is no other), and reasoning is
//     reasoning_content, too
//   tools, tool_choice
//     handed to the template; "none" hands over no tools, "auto" is the default, others are errors
//   chat_template_kwargs, reasoning_effort, documents
//     further variables of the template
//   parallel_tool_calls
//     false is an error if there are tools
// logprobs is a switch. Without max_tokens an answer ends by itself or with the context.
std::variant<CompletionRequest, ApiError> ParseChatRequest(const nlohmann::json& body,
                                                           const jinja::Value& ordered);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPENAI_CHAT_REQUEST_H_
