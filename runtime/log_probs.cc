// Softmax in the log domain.
#include "runtime/log_probs.h"

#include <algorithm>
#include <cmath>

namespace sluice {
namespace {

// log(sum(exp(logits))), in double.
double LogSumExp(absl::Span<const float> logits) {
  const double best = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - best);
  return best + std::log(sum);
}

}  // namespace

TokenLogProb LogProbOf(absl::Span<const float> logits, int32_t token, int64_t top_k) {
  const double normalizer = LogSumExp(logits);
  TokenLogProb result;
  result.log_prob = logits[token] - normalizer;
  if (top_k <= 0) return result;
  std::vector<int32_t> ids(logits.size());
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
  const size_t n = std::min<size_t>(top_k, ids.size());
  std::partial_sort(ids.begin(), ids.begin() + n, ids.end(),
                    [&](int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  for (size_t i = 0; i < n; ++i) result.top.emplace_back(ids[i], logits[ids[i]] - normalizer);
  return result;
}

}  // namespace sluice
