// Finds the token ids of a request's prompts, given as text, ids or a conversation.
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
  // Both must outlive this object. `tokenizer` may be null: then prompts must be ids. If `chats` is
  // an error, each chat gets it. Templates see the local time of `now`. A prompt takes at most
  // `max_bytes` on its way to ids.
  PromptEncoder(const Tokenizer* tokenizer, const absl::StatusOr<ChatFront>* chats, std::time_t now,
                int64_t max_bytes = std::numeric_limits<int64_t>::max())
      : tokenizer_(tokenizer), chats_(*chats), now_(LocalTime(now)), max_bytes_(max_bytes) {}

  // Encodes prompt `index` of `request`; ids are moved out of it. Text of more than
  // `context_tokens` tokens is an error, which is found without encoding all of it.
  std::variant<ChatPrompt, ApiError> Encode(CompletionRequest& request, size_t index,
                                            int64_t context_tokens) const;

  // The memory that a prompt may take on its way to ids.
  int64_t max_bytes() const { return max_bytes_; }

  // The tokens that end an answer to `request`, beside the model's eos tokens.
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
