// Cuts a text at matches, in the five ways of tokenizer.json's "behavior".
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_SPLIT_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_SPLIT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "runtime/text/tokenizer/regex.h"

namespace sluice {

// "a-b--c" cut at "-":
enum class SplitBehavior : uint8_t {
  kRemoved,             // a b c
  kIsolated,            // a - b - - c
  kMergedWithPrevious,  // a- b- - c
  kMergedWithNext,      // a -b - -c
  kContiguous,          // a - b -- c
};

// "Removed", "Isolated", ... InvalidArgument names any other.
absl::StatusOr<SplitBehavior> ParseSplitBehavior(absl::string_view name);

// Appends the pieces of a text of `size` bytes whose `matches` are in order; with `invert`, the
// text between them counts as the matches. Empty pieces are left out.
void SplitAt(absl::Span<const TextRange> matches, size_t size, SplitBehavior behavior, bool invert,
             std::vector<TextRange>* pieces);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_SPLIT_H_
