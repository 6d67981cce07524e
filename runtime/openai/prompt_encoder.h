// The token ids of a request's prompts, whatever the request gives: text, ids or a conversation.
#ifndef SLUICE_RUNTIME_OPENAI_PROMPT_ENCODER_H_
#define SLUICE_RUNTIME_OPENAI_PROMPT_ENCODER_H_

#include <cstdint>
#include <ctime>
#include <limits>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/chat/chat_front.h"
#include "runtime/openai/api_error.h"
#include "runtime/openai/completion_request.h"
#include "runtime/text/tokenizer/tokenizer.h"

namespace sluice {

class PromptEncoder {
 public:
  // Both must outlive this. `tokenizer` may be null: then prompts have to be ids. Where `chats` is
  // an error, it is that of each chat. Templates see the local time of `now`. What a prompt takes
  // on its way to ids is at most `max_bytes`.
  PromptEncoder(const Tokenizer* tokenizer, const absl::StatusOr<ChatFront>* chats, std::time_t now,
                int64_t max_bytes = std::numeric_limits<int64_t>::max())
      : tokenizer_(tokenizer), chats_(*chats), now_(LocalTime(now)), max_bytes_(max_bytes) {}

  // Prompt `index` of `request`; ids are moved out of it. Text of more than `context_tokens` tokens
  // is an error, found without all of them.
  std::variant<ChatPrompt, ApiError> Encode(CompletionRequest& request, size_t index,
                                            int64_t context_tokens) const;

  // What a prompt may take on its way to ids.
  int64_t max_bytes() const { return max_bytes_; }

  // What ends an answer to `request` beside the model's eos tokens.
  std::vector<int32_t> EndTokens(const CompletionRequest& request) const {
    return request.chat.has_value() && chats_.ok() ? chats_->turn_ends() : std::vector<int32_t>();
  }

 private:
  const Tokenizer* const tokenizer_;
  const absl::StatusOr<ChatFront>& chats_;
  const std::tm now_;
  const int64_t max_bytes_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPENAI_PROMPT_ENCODER_H_
