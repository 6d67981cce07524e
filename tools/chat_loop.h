// Reads lines, answers them, and does what the lines that begin with / ask for.
#ifndef SLUICE_TOOLS_CHAT_LOOP_H_
#define SLUICE_TOOLS_CHAT_LOOP_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/chat/chat_session.h"
#include "runtime/pass/model.h"
#include "runtime/speculate/speculator.h"
#include "tools/answer_display.h"
#include "tools/line_source.h"
#include "tools/model_progress.h"

namespace sluice {

struct ChatLoopOptions {
  // A person is there: a prompt is shown, errors and Ctrl-C do not end the program. Otherwise the
  // first error does.
  bool interactive = false;
  ThinkingStyle thinking = ThinkingStyle::kTags;
  const Speculator* speculator = nullptr;  // the session's, for /stats; null: nothing is drafted
};

class ChatLoop {
 public:
  // `progress` begins when the session computes a prompt; the loop ends it.
  ChatLoop(ChatSession* session, const Model* model, LineSource* lines, ModelProgress* progress,
           const ChatLoopOptions& options)
      : session_(*session),
        model_(*model),
        lines_(*lines),
        progress_(*progress),
        options_(options) {}

  // Until the input ends or /exit. Cancelled: SIGTERM, an interrupt at the prompt right behind
  // another one, or any interrupt where nobody is there.
  absl::Status Run();

 private:
  struct Command;
  static absl::Span<const Command> Commands();

  // A message may have several lines: all but the last end with a backslash.
  LineState ReadMessage(std::string* message);
  // Answers a message, or with an empty pointer the last one again.
  absl::Status Answer(const std::string* message);
  absl::Status RunCommand(const std::string& line);

  absl::Status Help(const std::string& argument);
  absl::Status Reset(const std::string& argument);
  absl::Status System(const std::string& argument);
  absl::Status Save(const std::string& argument);
  absl::Status Load(const std::string& argument);
  absl::Status Regenerate(const std::string& argument);
  absl::Status Stats(const std::string& argument);
  absl::Status Exit(const std::string& argument);

  // To standard error, where it does not mix with answers.
  void Say(absl::string_view text) const;

  ChatSession& session_;
  const Model& model_;
  LineSource& lines_;
  ModelProgress& progress_;
  const ChatLoopOptions options_;
  TurnResult last_;  // of the last answer
  bool done_ = false;
  bool broken_ = false;  // the model cannot go on
};

}  // namespace sluice

#endif  // SLUICE_TOOLS_CHAT_LOOP_H_
