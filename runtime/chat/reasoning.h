// Tells a model's reasoning (between <think> and </think>) from its answer, as the text comes.
#ifndef SLUICE_RUNTIME_CHAT_REASONING_H_
#define SLUICE_RUNTIME_CHAT_REASONING_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice {

// Reasoning counts only at the beginning of an answer, behind white space at most; later tags are
// text. The tags belong to neither part, nor do line ends right inside of them and right behind
// </think>.
class ReasoningSplitter {
 public:
  struct Piece {
    bool reasoning;
    std::string text;  // not empty
  };

  // `inside`: the prompt ended with <think>, so that the answer begins inside.
  explicit ReasoningSplitter(bool inside) : state_(inside ? State::kEnter : State::kBegin) {}

  // Takes more text; returns the pieces that are certain now.
  std::vector<Piece> Push(absl::string_view text);
  // Returns the text that was held back, at the end.
  std::vector<Piece> Flush();

 private:
  // kBegin -> kEnter -> kThink -> kLeave -> kAnswer; kBegin -> kAnswer if there is no reasoning.
  enum class State { kBegin, kEnter, kThink, kLeave, kAnswer };
  // Moves on as far as the held text says; returns false if it needs more.
  bool Advance(bool at_end, std::vector<Piece>* pieces);

  State state_;
  std::string held_;
};

struct SplitAnswer {
  std::string content;
  std::string reasoning;
};
// Splits a whole text.
SplitAnswer SplitReasoning(absl::string_view text, bool inside);

// Returns whether an answer to this rendered prompt begins inside of <think>.
bool OpensReasoning(absl::string_view prompt);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_REASONING_H_
