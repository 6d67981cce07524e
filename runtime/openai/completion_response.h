// The answer to a request: the body of a completion or an error, and the line of a results file
// around it.
#ifndef SLUICE_RUNTIME_OPENAI_COMPLETION_RESPONSE_H_
#define SLUICE_RUNTIME_OPENAI_COMPLETION_RESPONSE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "runtime/engine/engine.h"
#include "runtime/openai/api_error.h"
#include "runtime/openai/completion_request.h"
#include "runtime/text/tokenizer/tokenizer.h"

namespace sluice {

// One of the answers to a request.
struct CompletionChoice {
  SequenceResult result;
  const std::vector<int32_t>* prompt;  // the ids of its prompt
  std::string prompt_text = {};        // for echo
  bool opens_reasoning = false;        // the prompt ended with <think>
};

// Returns the bytes of a token as OpenAI's API shows them: text, in which bytes that are no UTF-8,
// such as the first byte of an emoji, are \xf0.
std::string ShownBytes(absl::string_view bytes);
nlohmann::json ByteList(absl::string_view bytes);  // [240]
// Returns how many tokens, from the first, are part of the answer; a stop text and an end token are
// not. The result must have text offsets.
size_t AnswerTokens(const SequenceResult& result, const Tokenizer* tokenizer);
// Receives a text piece by piece, so that a text with the log probabilities of thousands of tokens
// is never whole in memory.
using TextSink = absl::FunctionRef<void(absl::string_view)>;

// Writes `object`, which has members, with one more member, whose value `write_value` writes.
void WriteWithMember(const nlohmann::json& object, absl::string_view name,
                     absl::FunctionRef<void()> write_value, TextSink sink);

// Writes the JSON text of an answer's body with the id `id`: {id, object, created, model, usage,
// choices}. `write_choice` writes the choice of an index. `choices` are in the order of their
// index; choice i answers prompt i / request.n.
void WriteBody(const CompletionRequest& request, const std::vector<CompletionChoice>& choices,
               absl::string_view object, absl::string_view id, int64_t created,
               absl::FunctionRef<void(size_t)> write_choice, TextSink sink);

// Writes a completion's body: choices are {index, text, finish_reason, logprobs}. `tokenizer` may
// be null.
void WriteCompletionBody(const CompletionRequest& request,
                         const std::vector<CompletionChoice>& choices, absl::string_view id,
                         int64_t created, const Tokenizer* tokenizer, TextSink sink);

// Names of a line of a job: hashes of the line's number and its custom_id, so that a job that runs
// again gives the same names.
struct ResultIds {
  ResultIds(int64_t line_number, absl::string_view custom_id);
  uint64_t line;        // "batch_req_..." is this in hexadecimal
  std::string id;       // of the line
  std::string request;  // of the request
  std::string body;     // of the completion; a chat's has "chat" in front
};

// Writes {"id", "custom_id", "response": {status_code, request_id, body}, "error": null} and a
// newline.
void WriteResultLine(const ResultIds& ids, absl::string_view custom_id, int status_code,
                     absl::FunctionRef<void()> write_body, TextSink sink);

// Returns the JSON text {error: {message, type, param, code}}.
std::string ErrorBody(const ApiError& error);

// Returns such a line for a request that failed; its body is ErrorBody's.
std::string ErrorLine(const ResultIds& ids, absl::string_view custom_id, const ApiError& error);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPENAI_COMPLETION_RESPONSE_H_
