// The body of a chat completion.
#ifndef SLUICE_RUNTIME_OPENAI_CHAT_RESPONSE_H_
#define SLUICE_RUNTIME_OPENAI_CHAT_RESPONSE_H_

#include <cstdint>
#include <vector>

#include "nlohmann/json.hpp"
#include "runtime/openai/completion_request.h"
#include "runtime/openai/completion_response.h"
#include "runtime/tokenizer/tokenizer.h"

namespace sluice {

// {object: "chat.completion", created, model, choices: [{index, message, finish_reason, logprobs}], usage}, without
// its id. What the model thought between <think> tags at the beginning is the message's reasoning_content; where it
// is only part of an answer, content is empty. logprobs has all tokens but what ended the answer.
nlohmann::json ChatCompletionBody(const CompletionRequest& request, const std::vector<CompletionChoice>& choices,
                                  int64_t created, const Tokenizer& tokenizer);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPENAI_CHAT_RESPONSE_H_
