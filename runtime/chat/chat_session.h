// A conversation with a model, turn by turn, that computes only the rows that are new.
#ifndef SLUICE_RUNTIME_CHAT_CHAT_SESSION_H_
#define SLUICE_RUNTIME_CHAT_CHAT_SESSION_H_

#include <cstdint>
#include <ctime>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/chat/chat_front.h"
#include "runtime/chat/session_file.h"
#include "runtime/engine/generator.h"

namespace sluice {

// Receives a piece of an answer as it comes, and whether the piece is reasoning before the answer.
// An error ends the answer and is returned.
using OnPiece = std::function<absl::Status(absl::string_view text, bool reasoning)>;

struct TurnResult {
  GenerateResult generated;
  int64_t prompt_tokens = 0;
  int64_t dropped_messages = 0;  // the oldest ones, for which the context had no room any more
  bool context_full = false;     // the answer ended because the context was full
};

// Each turn renders the whole conversation, and keeps the KV cache up to the longest common prefix
// with the previous prompt and answer; templates may drop earlier reasoning. If a prompt leaves no
// room to answer, the oldest turns behind the system message are dropped, until there is room for
// `max_new_tokens` (for a quarter of the context if that is not set), but at most for half of the
// context. The current user message stays in any case.
// current user message stays in any case.
class ChatSession {
 public:
  // All arguments must outlive the session. `options` are those of every turn, without on_text and
  // end_tokens. strftime_now sees `now` in every turn: otherwise each prompt of a template that
  // prints the time would be computed anew.
  ChatSession(Model* model, const Tokenizer* tokenizer, const ChatFront* front, uint64_t store_hash,
              const std::tm& now, GenerateOptions options);
  ~ChatSession();
  ChatSession(const ChatSession&) = delete;
  ChatSession& operator=(const ChatSession&) = delete;

  // Answers `text`. After an error, or an interrupt before the first token, the conversation is as
  // before. InvalidArgument, ResourceExhausted: an error of the template, or a message that is
  // longer than the context; the session goes on. After other errors, which are the disk's, it
  // cannot.
  absl::StatusOr<TurnResult> Say(std::string text, const OnPiece& on_piece);
  // Answers the last user message once more, with other random numbers. FailedPrecondition: there
  // is no answer yet.
  absl::StatusOr<TurnResult> Regenerate(const OnPiece& on_piece);

  // Limits the memory that a conversation may take on its way to ids, and a session file while its
  // messages are read; more is an error.
  void LimitPrompts(int64_t max_bytes) { max_prompt_bytes_ = max_bytes; }

  // Puts another system message first; an empty one removes it. The rest of the conversation stays.
  void SetSystem(std::string text);
  // Forgets everything but the system message.
  void Reset();

  absl::Status Save(const std::string& path) const;
  // Errors leave the conversation as it was.
  absl::Status Load(const std::string& path);

  const std::vector<ChatMessage>& messages() const { return messages_; }
  // The number of tokens whose keys and values are in the cache.
  int64_t cached_tokens() const { return static_cast<int64_t>(cached_.tokens.size()); }
  int64_t context_tokens() const { return model_->plan().request.context_tokens; }

 private:
  // Answers messages_, of which the last one is the user's, and appends the answer.
  absl::StatusOr<TurnResult> Answer(const OnPiece& on_piece);
  // Returns the prompt of messages_, after dropping messages if it is too long.
  absl::StatusOr<ChatPrompt> FitPrompt(int64_t* dropped_messages);
  // Returns the messages of the oldest turn but the current one; {0, 0}: there is none.
  std::pair<size_t, size_t> OldestTurn() const;
  SessionIdentity Identity() const;

  int64_t max_prompt_bytes_ = std::numeric_limits<int64_t>::max();
  Model* const model_;
  const Tokenizer* const tokenizer_;
  const ChatFront* const front_;
  const uint64_t store_hash_;
  const std::tm now_;
  GenerateOptions options_;
  std::vector<ChatMessage> messages_;
  CachedTokens cached_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_CHAT_SESSION_H_
