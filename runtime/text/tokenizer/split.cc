// The behaviors as rules on which neighbouring stretches are joined.
#include "runtime/text/tokenizer/split.h"

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

struct Stretch {
  TextRange range;
  bool match;
};

// Cuts the whole text into matches and the parts between them.
std::vector<Stretch> Stretches(absl::Span<const TextRange> matches, size_t size, bool invert) {
  std::vector<Stretch> stretches;
  stretches.reserve(2 * matches.size() + 1);
  size_t at = 0;
  for (const TextRange& match : matches) {
    if (match.begin > at) stretches.push_back({{at, match.begin}, invert});
    stretches.push_back({match, !invert});
    at = match.end;
  }
  if (at < size) stretches.push_back({{at, size}, invert});
  return stretches;
}

}  // namespace

absl::StatusOr<SplitBehavior> ParseSplitBehavior(absl::string_view name) {
  static constexpr struct {
    const char* name;
    SplitBehavior behavior;
  } kBehaviors[] = {{"Removed", SplitBehavior::kRemoved},
                    {"Isolated", SplitBehavior::kIsolated},
                    {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
                    {"MergedWithNext", SplitBehavior::kMergedWithNext},
                    {"Contiguous", SplitBehavior::kContiguous}};
  for (const auto& known : kBehaviors) {
    if (name == known.name) return known.behavior;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the behavior \"", name.substr(0, 80), "\" is not known"));
}

void SplitAt(absl::Span<const TextRange> matches, size_t size, SplitBehavior behavior, bool invert,
             std::vector<TextRange>* pieces) {
  const std::vector<Stretch> stretches = Stretches(matches, size, invert);
  const auto is_match = [&](size_t i) { return stretches[i].match; };
  // Of neighbouring matches only the first (for MergedWithNext, the last) joins its neighbour;
  // there may be no part between two matches.
  size_t begin = 0;
  for (size_t i = 0; i < stretches.size(); ++i) {
    const bool last = i + 1 == stretches.size();
    bool joined = false;  // with the next stretch
    switch (behavior) {
      case SplitBehavior::kRemoved:
      case SplitBehavior::kIsolated:
        break;
      case SplitBehavior::kContiguous:
        joined = !last && is_match(i) == is_match(i + 1);
        break;
      case SplitBehavior::kMergedWithPrevious:
        joined = !last && !is_match(i) && is_match(i + 1);
        break;
      case SplitBehavior::kMergedWithNext:
        joined = !last && is_match(i) && !is_match(i + 1);
        break;
    }
    if (joined) continue;
    const size_t end = stretches[i].range.end;
    const bool removed = behavior == SplitBehavior::kRemoved && is_match(i);
    if (end > begin && !removed) pieces->push_back({begin, end});
    begin = end;
  }
}

}  // namespace sluice
