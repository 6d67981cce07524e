// Turns over a KV cache that is kept.
#include "runtime/chat/chat_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/chat/reasoning.h"
#include "runtime/pass/memory_plan.h"

namespace sluice {

ChatSession::ChatSession(Model* model, const Tokenizer* tokenizer, const ChatFront* front,
                         uint64_t store_hash, const std::tm& now, GenerateOptions options)
    : model_(model),
      tokenizer_(tokenizer),
      front_(front),
      store_hash_(store_hash),
      now_(now),
      options_(std::move(options)) {
  options_.end_tokens = front_->turn_ends();
}

ChatSession::~ChatSession() { model_->kv_cache().Release(cached_.pages); }

SessionIdentity ChatSession::Identity() const {
  return {store_hash_, front_->template_hash(), model_->hyper_parameters().vocab_size,
          ArithmeticOf(model_->plan().request)};
}

void ChatSession::SetSystem(std::string text) {
  if (!messages_.empty() && messages_[0].role == "system") messages_.erase(messages_.begin());
  if (!text.empty()) messages_.insert(messages_.begin(), {"system", std::move(text)});
}

void ChatSession::Reset() {
  const bool has_system = !messages_.empty() && messages_[0].role == "system";
  messages_.resize(has_system ? 1 : 0);
}

std::pair<size_t, size_t> ChatSession::OldestTurn() const {
  const size_t begin = !messages_.empty() && messages_[0].role == "system" ? 1 : 0;
  for (size_t end = begin + 1; end < messages_.size(); ++end) {
    if (messages_[end].role == "user") return {begin, end};
  }
  return {0, 0};
}

absl::StatusOr<ChatPrompt> ChatSession::FitPrompt(int64_t* dropped_messages) {
  const int64_t context = context_tokens();
  const int64_t room =
      std::min(options_.max_new_tokens < 0 ? context / 4 : options_.max_new_tokens, context / 2);
  while (true) {
    absl::StatusOr<ChatPrompt> encoded =
        front_->Encode(TextConversation(messages_), now_, context, max_prompt_bytes_);
    if (absl::IsOutOfRange(encoded.status()) || absl::IsResourceExhausted(encoded.status())) {
      return absl::ResourceExhaustedError(absl::StrCat(
          encoded.status().message(), "; a shorter message or a larger --max-ram may help"));
    }
    SLUICE_ASSIGN_OR_RETURN(ChatPrompt prompt, std::move(encoded));
    const auto tokens = static_cast<int64_t>(prompt.ids.size());
    if (tokens + room <= context) return prompt;
    const auto [begin, end] = OldestTurn();
    if (begin == end) {
      if (tokens <= context) return prompt;
      return absl::InvalidArgumentError(
          absl::StrCat("the message makes a prompt of more than the ", context,
                       " tokens that the context has; shorten it or give a larger -c"));
    }
    messages_.erase(messages_.begin() + begin, messages_.begin() + end);
    *dropped_messages += static_cast<int64_t>(end - begin);
  }
}

absl::StatusOr<TurnResult> ChatSession::Answer(const OnPiece& on_piece) {
  TurnResult turn;
  SLUICE_ASSIGN_OR_RETURN(const ChatPrompt prompt, FitPrompt(&turn.dropped_messages));
  turn.prompt_tokens = static_cast<int64_t>(prompt.ids.size());
  ReasoningSplitter splitter(prompt.opens_reasoning);
  ChatMessage answer = {"assistant", "", ""};
  const auto show = [&](const std::vector<ReasoningSplitter::Piece>& pieces) -> absl::Status {
    for (const ReasoningSplitter::Piece& piece : pieces) {
      absl::StrAppend(piece.reasoning ? &answer.reasoning : &answer.content, piece.text);
      if (on_piece) SLUICE_RETURN_IF_ERROR(on_piece(piece.text, piece.reasoning));
    }
    return absl::OkStatus();
  };
  GenerateOptions options = options_;
  options.on_text = [&](absl::string_view text) {
    // Text that follows a grammar does so from its first token on: there is no reasoning in it,
    // whatever it says.
    return show(options.constraint != nullptr
                    ? std::vector<ReasoningSplitter::Piece>{{false, std::string(text)}}
                    : splitter.Push(text));
  };
  SLUICE_ASSIGN_OR_RETURN(turn.generated,
                          Generate(*model_, tokenizer_, prompt.ids, options, &cached_));
  SLUICE_RETURN_IF_ERROR(show(splitter.Flush()));
  turn.context_full =
      turn.generated.finish_reason == FinishReason::kLength &&
      turn.prompt_tokens + static_cast<int64_t>(turn.generated.ids.size()) > context_tokens();
  messages_.push_back(std::move(answer));
  return turn;
}

absl::StatusOr<TurnResult> ChatSession::Say(std::string text, const OnPiece& on_piece) {
  std::vector<ChatMessage> before = messages_;
  messages_.push_back({"user", std::move(text)});
  absl::StatusOr<TurnResult> turn = Answer(on_piece);
  if (!turn.ok() ||
      (turn->generated.ids.empty() && turn->generated.finish_reason == FinishReason::kInterrupt)) {
    messages_ = std::move(before);
  }
  return turn;
}

absl::StatusOr<TurnResult> ChatSession::Regenerate(const OnPiece& on_piece) {
  if (messages_.empty() || messages_.back().role != "assistant") {
    return absl::FailedPreconditionError("there is no answer to regenerate");
  }
  std::vector<ChatMessage> before = messages_;
  messages_.pop_back();
  ++options_.sampler.seed;
  absl::StatusOr<TurnResult> turn = Answer(on_piece);
  if (!turn.ok() ||
      (turn->generated.ids.empty() && turn->generated.finish_reason == FinishReason::kInterrupt)) {
    messages_ = std::move(before);
  }
  return turn;
}

absl::Status ChatSession::Save(const std::string& path) const {
  return SaveSession(path, Identity(), messages_, model_->kv_cache(), cached_);
}

absl::Status ChatSession::Load(const std::string& path) {
  SLUICE_ASSIGN_OR_RETURN(messages_, LoadSession(path, Identity(), context_tokens(),
                                                 max_prompt_bytes_, model_->kv_cache(), &cached_));
  return absl::OkStatus();
}

}  // namespace sluice
