// Shows an answer as it comes: what the model thinks dimmed on a terminal, between its tags
// elsewhere, or not at all.
#ifndef SLUICE_TOOLS_ANSWER_DISPLAY_H_
#define SLUICE_TOOLS_ANSWER_DISPLAY_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice {

enum class ThinkingStyle { kTags, kDimmed, kHidden };

// Writes to standard output. For one answer.
class AnswerDisplay {
 public:
  explicit AnswerDisplay(ThinkingStyle style) : style_(style) {}

  // Whether a piece of this kind is shown at all.
  bool Shows(bool reasoning) const { return !reasoning || style_ != ThinkingStyle::kHidden; }
  // DataLoss: standard output is closed or full.
  absl::Status Show(absl::string_view text, bool reasoning);
  // Ends the last line.
  void End();
  // The answer will not go on: ends the last line if there is one.
  void Break();

 private:
  void EndThinking();

  const ThinkingStyle style_;
  bool thinking_ = false;
  bool shown_ = false;  // anything
};

}  // namespace sluice

#endif  // SLUICE_TOOLS_ANSWER_DISPLAY_H_
