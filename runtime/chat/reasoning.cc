// A state machine over held-back text.
#include "runtime/chat/reasoning.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr absl::string_view kOpen = "<think>";
constexpr absl::string_view kClose = "</think>";

void Add(bool reasoning, absl::string_view text, std::vector<ReasoningSplitter::Piece>* pieces) {
  if (!text.empty()) pieces->push_back({reasoning, std::string(text)});
}

size_t LeadingLineEnds(absl::string_view text) {
  return std::min(text.find_first_not_of("\r\n"), text.size());
}

}  // namespace

bool ReasoningSplitter::Advance(bool at_end, std::vector<Piece>* pieces) {
  switch (state_) {
    case State::kBegin: {
      const absl::string_view text = absl::StripLeadingAsciiWhitespace(held_);
      if (absl::StartsWith(text, kOpen)) {
        held_.erase(0, held_.size() - text.size() + kOpen.size());
        state_ = State::kEnter;
        return true;
      }
      if (absl::StartsWith(kOpen, text) && !at_end) return false;
      state_ = State::kAnswer;
      return true;
    }
    case State::kEnter:
      held_.erase(0, LeadingLineEnds(held_));
      if (held_.empty()) return false;
      state_ = State::kThink;
      return true;
    case State::kThink: {
      const size_t close = held_.find(kClose.data(), 0, kClose.size());
      // Line ends in front of the tag, and what may become the tag, wait.
      size_t certain = std::min(close, held_.size());
      if (close == std::string::npos && !at_end) {
        for (size_t n = std::min(kClose.size() - 1, held_.size()); n > 0; --n) {
          if (!absl::EndsWith(held_, kClose.substr(0, n))) continue;
          certain = held_.size() - n;
          break;
        }
      }
      const size_t text_end = held_.find_last_not_of("\r\n", certain == 0 ? 0 : certain - 1);
      const size_t shown = certain == 0 || text_end == std::string::npos ? 0 : text_end + 1;
      Add(true, absl::string_view(held_).substr(0, shown), pieces);
      if (close != std::string::npos) {
        held_.erase(0, close + kClose.size());
        state_ = State::kLeave;
        return true;
      }
      held_.erase(0, at_end ? held_.size() : shown);
      return false;
    }
    case State::kLeave:
      held_.erase(0, LeadingLineEnds(held_));
      if (held_.empty()) return false;
      state_ = State::kAnswer;
      return true;
    case State::kAnswer:
      Add(false, held_, pieces);
      held_.clear();
      return false;
  }
  return false;
}

std::vector<ReasoningSplitter::Piece> ReasoningSplitter::Push(absl::string_view text) {
  absl::StrAppend(&held_, text);
  std::vector<Piece> pieces;
  while (Advance(/*at_end=*/false, &pieces)) {
  }
  return pieces;
}

std::vector<ReasoningSplitter::Piece> ReasoningSplitter::Flush() {
  std::vector<Piece> pieces;
  while (Advance(/*at_end=*/true, &pieces)) {
  }
  return pieces;
}

SplitAnswer SplitReasoning(absl::string_view text, bool inside) {
  ReasoningSplitter splitter(inside);
  SplitAnswer answer;
  for (const auto& pieces : {splitter.Push(text), splitter.Flush()}) {
    for (const ReasoningSplitter::Piece& piece : pieces) {
      absl::StrAppend(piece.reasoning ? &answer.reasoning : &answer.content, piece.text);
    }
  }
  return answer;
}

bool OpensReasoning(absl::string_view prompt) {
  return absl::EndsWith(absl::StripTrailingAsciiWhitespace(prompt), kOpen);
}

}  // namespace sluice
