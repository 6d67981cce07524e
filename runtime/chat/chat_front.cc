// Loading, rendering, tokenizing.
#include "runtime/chat/chat_front.h"

#include <utility>

#include "kernels/base/status_macros.h"
#include "runtime/chat/model_files.h"
#include "runtime/chat/reasoning.h"
#include "runtime/chat/template_source.h"
#include "runtime/chat/turn_end.h"

namespace sluice {

absl::StatusOr<ChatFront> ChatFront::Load(const std::string& folder,
                                          const ChatFrontOptions& options,
                                          const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) {
    return absl::FailedPreconditionError("this model has no tokenizer, and chats need one");
  }
  SLUICE_ASSIGN_OR_RETURN(const ModelFiles files, ModelFiles::Open(folder));
  SLUICE_ASSIGN_OR_RETURN(const TemplateVariables variables, ReadSpecialTokens(files));
  bool builtin = false;
  const auto parse = [&](bool has_tools) -> absl::StatusOr<ChatTemplate> {
    SLUICE_ASSIGN_OR_RETURN(TemplateSource source, options.template_file.empty()
                                                       ? FindTemplate(files, "", has_tools)
                                                       : OpenTemplate(options.template_file));
    builtin = source.builtin;
    return ChatTemplate::Parse(std::move(source), variables);
  };
  SLUICE_ASSIGN_OR_RETURN(ChatTemplate usual, parse(/*has_tools=*/false));
  SLUICE_ASSIGN_OR_RETURN(ChatTemplate with_tools, parse(/*has_tools=*/true));
  ChatFront front(std::move(usual), tokenizer);
  front.add_special_tokens_ = builtin;
  if (with_tools.hash() != front.template_.hash()) front.with_tools_ = std::move(with_tools);
  if (!options.parse_special) front.marker_.emplace(tokenizer);
  const std::optional<int32_t> turn_end = FindTurnEnd(front.template_, *tokenizer, LocalTime(0));
  if (turn_end.has_value()) front.turn_ends_.push_back(*turn_end);
  return front;
}

absl::StatusOr<ChatPrompt> ChatFront::Encode(const Conversation& conversation, const std::tm& now,
                                             int64_t max_ids, int64_t max_bytes) const {
  const ChatTemplate& chat_template =
      conversation.has_tools() && with_tools_.has_value() ? *with_tools_ : template_;
  const TemplateVariables variables =
      ConversationVariables(marker_.has_value() ? marker_->Mark(conversation) : conversation,
                            /*add_generation_prompt=*/true);
  SLUICE_ASSIGN_OR_RETURN(const std::string text, chat_template.Render(variables, now, max_bytes));
  ChatPrompt prompt;
  prompt.opens_reasoning = OpensReasoning(text);
  SLUICE_ASSIGN_OR_RETURN(
      prompt.ids,
      tokenizer_->Encode(text, {.add_special_tokens = add_special_tokens_,
                                .drop_plain_marks = marker_.has_value(),
                                .max_ids = max_ids,
                                .max_bytes = max_bytes - static_cast<int64_t>(text.size())}));
  if (prompt.ids.empty()) {
    return absl::InvalidArgumentError(chat_template.name() +
                                      ": it prints nothing for this conversation");
  }
  return prompt;
}

}  // namespace sluice
