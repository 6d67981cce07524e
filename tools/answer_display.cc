// Plain writes, each flushed.
#include "tools/answer_display.h"

#include <cstdio>

#include "tools/terminal_output.h"

namespace sluice {
namespace {

constexpr char kDim[] = "\x1b[2m";
constexpr char kUndim[] = "\x1b[0m";

}  // namespace

void AnswerDisplay::EndThinking() {
  thinking_ = false;
  std::fputs(style_ == ThinkingStyle::kDimmed ? kUndim : "\n</think>", stdout);
}

absl::Status AnswerDisplay::Show(absl::string_view text, bool reasoning) {
  if (!Shows(reasoning)) return absl::OkStatus();
  if (reasoning && !thinking_) {
    thinking_ = true;
    std::fputs(style_ == ThinkingStyle::kDimmed ? kDim : "<think>\n", stdout);
  } else if (!reasoning && thinking_) {
    EndThinking();
    std::fputs("\n\n", stdout);
  }
  shown_ = true;
  return WriteOut(text);
}

void AnswerDisplay::End() {
  if (thinking_) EndThinking();
  std::fputs("\n", stdout);
  std::fflush(stdout);
}

void AnswerDisplay::Break() {
  if (shown_) End();
}

}  // namespace sluice
