// A request between its body and its answer: what a batch job, a server and the C API share.
#ifndef SLUICE_RUNTIME_OPENAI_PREPARED_REQUEST_H_
#define SLUICE_RUNTIME_OPENAI_PREPARED_REQUEST_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "runtime/constrain/constraints.h"
#include "runtime/engine/engine.h"
#include "runtime/openai/api_error.h"
#include "runtime/openai/completion_request.h"
#include "runtime/openai/completion_response.h"
#include "runtime/openai/prompt_encoder.h"
#include "runtime/text/tokenizer/tokenizer.h"

namespace sluice {

struct PreparedRequest {
  CompletionRequest request;  // its conversation is emptied once it is encoded
  std::vector<int32_t> end_tokens;
  bool opens_reasoning = false;
  std::vector<std::vector<int32_t>> prompts;
  std::shared_ptr<grammar::Constraint> constraint;  // null: none
  std::vector<CompletionChoice> choices;            // [num_choices]
};

// Encodes the prompts of `prepared->request`, takes up its grammar and checks that `engine`, whose
// context has `context_tokens` tokens, takes each of its sequences. Nothing: all is well.
std::optional<ApiError> Prepare(const PromptEncoder& encoder, const Engine& engine,
                                int64_t context_tokens, Constraints* constraints,
                                PreparedRequest* prepared);

// The sequence of a choice. `seed` counts where the request has none.
SequenceRequest SequenceOf(const PreparedRequest& prepared, int64_t choice, uint64_t seed);

// The error of a request whose grammar cannot be followed; nothing where all choices have ended
// well.
std::optional<ApiError> ErrorOfChoices(const PreparedRequest& prepared);

// Writes the answer's body (WriteCompletionBody, or WriteChatCompletionBody, whose id is "chat" and
// `id`). All choices have their results. `tokenizer` is the encoder's.
void WriteAnswer(PreparedRequest& prepared, absl::string_view id, int64_t created,
                 const Tokenizer* tokenizer, TextSink sink);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPENAI_PREPARED_REQUEST_H_
