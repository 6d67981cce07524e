// Chooses between the three forms of a prompt.
#include "runtime/openai/prompt_encoder.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

ApiError Refused(const absl::Status& status, const char* param, const char* code) {
  if (absl::IsOutOfRange(status)) {
    return {.message = absl::StrCat(status.message(), "; shorten it or give a larger --max-ram"),
            .param = param,
            .code = "out_of_memory"};
  }
  return {.message = std::string(status.message()), .param = param, .code = code};
}

std::variant<ChatPrompt, ApiError> CheckLength(ChatPrompt prompt, int64_t context_tokens,
                                               const char* param) {
  if (static_cast<int64_t>(prompt.ids.size()) <= context_tokens) return prompt;
  return ApiError{.message = absl::StrCat("the prompt has more than ", context_tokens,
                                          " tokens, the context only ", context_tokens),
                  .param = param,
                  .code = "context_length_exceeded"};
}

}  // namespace

std::variant<ChatPrompt, ApiError> PromptEncoder::Encode(CompletionRequest& request, size_t index,
                                                         int64_t context_tokens) const {
  if (request.chat.has_value()) {
    if (!chats_.ok()) return Refused(chats_.status(), "messages", "chat_template_missing");
    absl::StatusOr<ChatPrompt> prompt =
        chats_->Encode(*request.chat, now_, context_tokens, max_bytes_);
    if (!prompt.ok()) return Refused(prompt.status(), "messages", "invalid_value");
    return CheckLength(*std::move(prompt), context_tokens, "messages");
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
  absl::StatusOr<std::vector<int32_t>> ids =
      tokenizer_->Encode(std::get<std::string>(input), {.add_special_tokens = request.add_special,
                                                        .max_ids = context_tokens,
                                                        .max_bytes = max_bytes_});
  if (!ids.ok()) return Refused(ids.status(), "prompt", "invalid_value");
  return CheckLength(ChatPrompt{*std::move(ids)}, context_tokens, "prompt");
}

}  // namespace sluice
