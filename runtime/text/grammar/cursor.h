// A place in a text that a recursive descent parses; for the parsers of this folder.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_CURSOR_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_CURSOR_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace sluice::grammar {

// The base of a parser, which says how errors name a place.
class Cursor {
 protected:
  explicit Cursor(absl::string_view text) : text_(text) {}
  ~Cursor() = default;

  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  // Moves past `token` if it comes next.
  bool Take(absl::string_view token) {
    if (text_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }
  // Parses a number of repetitions. ResourceExhausted: more than `most`.
  absl::StatusOr<int32_t> ParseCount(int64_t most) {
    if (!absl::ascii_isdigit(Peek())) return Error("expected a number of repetitions");
    int64_t count = 0;
    while (absl::ascii_isdigit(Peek())) {
      count = 10 * count + (text_[at_++] - '0');
      if (count > most) return TooMuch("repetitions", most);
    }
    return static_cast<int32_t>(count);
  }

  // Describes the current place: "grammar:3:14".
  virtual std::string Place() const = 0;
  absl::Status Error(absl::string_view message) const {
    return absl::InvalidArgumentError(absl::StrCat(Place(), ": ", message));
  }
  absl::Status TooMuch(absl::string_view what, int64_t limit) const {
    return absl::ResourceExhaustedError(absl::StrCat(Place(), ": more than ", limit, " ", what));
  }

  const absl::string_view text_;
  size_t at_ = 0;
};

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_CURSOR_H_
