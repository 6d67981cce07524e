// Blocks of tokens are skipped by their largest logit.
#include "runtime/sample/top_tokens.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "runtime/sample/token_blocks.h"

namespace sluice {
namespace {

// Calls take(id, logit) in ascending order of ids for each allowed token whose logit is above what
// take returned last; the first limit is -infinity.
template <typename Take>
void ForEachAbove(absl::Span<const float> logits, absl::Span<const uint64_t> allowed, Take take) {
  float limit = -std::numeric_limits<float>::infinity();
  for (size_t first = 0; first < logits.size(); first += kTokenBlock) {
    const size_t end = std::min(logits.size(), first + kTokenBlock);
    if (AllowsNone(allowed, first)) continue;
    if (end - first == kTokenBlock && !(BlockMax(&logits[first]) > limit)) continue;
    for (size_t id = first; id < end; ++id) {
      if (logits[id] > limit && Allows(allowed, id)) {
        limit = take(static_cast<int32_t>(id), logits[id]);
      }
    }
  }
}

bool IsBetter(const std::pair<int32_t, float>& a, const std::pair<int32_t, float>& b) {
  return a.second != b.second ? a.second > b.second : a.first < b.first;
}

}  // namespace

int32_t MostLikelyToken(absl::Span<const float> logits, absl::Span<const uint64_t> allowed) {
  int32_t best = 0;
  ForEachAbove(logits, allowed, [&best](int32_t id, float logit) {
    best = id;
    return logit;
  });
  return best;
}

std::vector<std::pair<int32_t, float>> TopTokens(absl::Span<const float> logits, int64_t k,
                                                 absl::Span<const uint64_t> allowed) {
  std::vector<std::pair<int32_t, float>> top;
  if (k <= 0) return top;
  const size_t wanted = std::min<size_t>(k, logits.size());
  const size_t room = std::min(2 * wanted + 64, logits.size());
  top.reserve(room);
  // A token that comes later loses against an equal one, so only larger logits than the least of
  // `wanted` tokens matter once these are there.
  float limit = -std::numeric_limits<float>::infinity();
  ForEachAbove(logits, allowed, [&](int32_t id, float logit) {
    top.emplace_back(id, logit);
    if (top.size() < room || room == logits.size()) return limit;
    std::nth_element(top.begin(), top.begin() + (wanted - 1), top.end(), IsBetter);
    limit = top[wanted - 1].second;
    top.resize(wanted);
    return limit;
  });
  const size_t count = std::min(wanted, top.size());
  std::partial_sort(top.begin(), top.begin() + count, top.end(), IsBetter);
  top.resize(count);
  return top;
}

}  // namespace sluice
