// Regular expressions of tokenizer.json: they are written for Oniguruma and run by PCRE2.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_REGEX_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_REGEX_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/tokenizer/search_budget.h"

namespace sluice {

struct TextRange {  // bytes [begin, end)
  size_t begin;
  size_t end;
};

// Rewrites an Oniguruma pattern (Ruby syntax, Unicode) for PCRE2 in UTF, UCP and multi-line mode,
// where \s, \w, \h, \v, \u, (?m) and {n,m}+ mean other things. InvalidArgument: names a construct
// that has no such rewriting (nested classes, &&).
absl::StatusOr<std::string> OnigurumaToPcre2(absl::string_view pattern);

// A compiled pattern. Immutable; any number of threads may search with it.
class Regex {
 public:
  // InvalidArgument: not a pattern, with PCRE2's reason and the byte offset.
  static absl::StatusOr<Regex> Compile(absl::string_view pattern);

  Regex(Regex&&) = default;
  Regex& operator=(Regex&&) = default;

  // Appends to `matches` all matches in `text` (valid UTF-8) from left to right, none overlapping;
  // an empty match right behind another one is left out. ResourceExhausted: the budget is spent, or
  // a match takes more steps back or memory than is allowed (catastrophic backtracking).
  absl::Status FindAll(absl::string_view text, SearchBudget* budget,
                       std::vector<TextRange>* matches) const;

  int64_t MemoryBytes() const;

 private:
  struct FreeCode {
    void operator()(void* code) const;
  };
  absl::Status Search(absl::string_view text, SearchBudget* budget,
                      std::vector<TextRange>* matches) const;
  Regex(void* code, std::string pattern) : code_(code), pattern_(std::move(pattern)) {}

  std::unique_ptr<void, FreeCode> code_;  // pcre2_code
  std::string pattern_;                   // as it was given, for errors
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_REGEX_H_
