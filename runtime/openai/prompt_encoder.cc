// Chooses between the three forms of a prompt.
#include "runtime/openai/prompt_encoder.h"

#include <string>
#include <vector>

namespace sluice {
namespace {

ApiError Refused(const absl::Status& status, const char* param, const char* code) {
  return {.message = std::string(status.message()), .param = param, .code = code};
}

}  // namespace

std::variant<ChatPrompt, ApiError> PromptEncoder::Encode(CompletionRequest& request, size_t index) const {
  if (request.chat.has_value()) {
    if (!chats_.ok()) return Refused(chats_.status(), "messages", "chat_template_missing");
    absl::StatusOr<ChatPrompt> prompt = chats_->Encode(*request.chat, now_);
    if (!prompt.ok()) return Refused(prompt.status(), "messages", "invalid_value");
    return *std::move(prompt);
  }
  PromptInput& input = request.prompts[index];
  if (auto* const ids = std::get_if<std::vector<int32_t>>(&input); ids != nullptr) {
    return ChatPrompt{std::move(*ids)};
  }
  if (tokenizer_ == nullptr) {
    return ApiError{.message = "this model has no tokenizer: the prompt must be token ids",
                    .param = "prompt",
                    .code = "no_tokenizer"};
  }
  absl::StatusOr<std::vector<int32_t>> ids = tokenizer_->Encode(std::get<std::string>(input));
  if (!ids.ok()) return Refused(ids.status(), "prompt", "invalid_value");
  return ChatPrompt{*std::move(ids)};
}

}  // namespace sluice
