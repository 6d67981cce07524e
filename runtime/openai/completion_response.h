// What a request gets back: the body of a completion or an error, and the line of a results file around it.
#ifndef SLUICE_RUNTIME_OPENAI_COMPLETION_RESPONSE_H_
#define SLUICE_RUNTIME_OPENAI_COMPLETION_RESPONSE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "runtime/engine.h"
#include "runtime/openai/api_error.h"
#include "runtime/openai/completion_request.h"
#include "runtime/tokenizer/tokenizer.h"

namespace sluice {

// One of a request's answers.
struct CompletionChoice {
  SequenceResult result;
  const std::vector<int32_t>* prompt;  // its prompt's ids
  std::string prompt_text = {};        // with echo
  bool opens_reasoning = false;        // the prompt ended with <think>
};

// A token as text; without a tokenizer its id.
std::string TokenText(const Tokenizer* tokenizer, int32_t id);
// How many tokens, from the first, are part of the answer: a stop text and an end token are not. The result has
// text offsets.
size_t AnswerTokens(const SequenceResult& result, const Tokenizer* tokenizer);
// {prompt_tokens, completion_tokens, total_tokens}
nlohmann::json UsageOf(const CompletionRequest& request, const std::vector<CompletionChoice>& choices);

// The body of a completion, without its id: {object, created, model, choices, usage}. `choices` are in the
// order of their index, choice i answers prompt i / request.n. `tokenizer` may be null.
nlohmann::json CompletionBody(const CompletionRequest& request, const std::vector<CompletionChoice>& choices,
                              int64_t created, const Tokenizer* tokenizer);

nlohmann::json ErrorBody(const ApiError& error);

// Names of a line of a job: hashes of the line's number and its custom_id, so that a job that is run again
// gives the same.
struct ResultIds {
  ResultIds(int64_t line_number, absl::string_view custom_id);
  uint64_t line;        // "batch_req_..." is this in hexadecimal
  std::string id;       // of the line
  std::string request;  // of the request
  std::string body;     // of the completion; "chat" is put in front for a chat's
};

// {"id", "custom_id", "response": {status_code, request_id, body}, "error": null} and a newline.
std::string ResultLine(const ResultIds& ids, absl::string_view custom_id, int status_code,
                       const nlohmann::json& body);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPENAI_COMPLETION_RESPONSE_H_
