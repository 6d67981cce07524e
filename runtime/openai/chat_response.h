// The body of a chat completion.
#ifndef SLUICE_RUNTIME_OPENAI_CHAT_RESPONSE_H_
#define SLUICE_RUNTIME_OPENAI_CHAT_RESPONSE_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/openai/completion_request.h"
#include "runtime/openai/completion_response.h"
#include "runtime/text/tokenizer/tokenizer.h"

namespace sluice {

// Writes a chat completion's body (WriteBody): choices are {index, message, finish_reason,
// logprobs}. Reasoning between <think> tags at the beginning becomes the message's
// reasoning_content; if an answer is only a part of reasoning, content is empty. logprobs has all
// tokens but those that ended the answer.
void WriteChatCompletionBody(const CompletionRequest& request,
                             const std::vector<CompletionChoice>& choices, absl::string_view id,
                             int64_t created, const Tokenizer& tokenizer, TextSink sink);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPENAI_CHAT_RESPONSE_H_
