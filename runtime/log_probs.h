// Log probabilities from logits.
#ifndef SLUICE_RUNTIME_LOG_PROBS_H_
#define SLUICE_RUNTIME_LOG_PROBS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

struct TokenLogProb {
  double log_prob = 0;                          // natural, at temperature 1
  std::vector<std::pair<int32_t, double>> top;  // the most likely tokens, best first; equal ones by id
};

// Of `token`, and of the `top_k` most likely tokens. logits [vocab_size], finite.
TokenLogProb LogProbOf(absl::Span<const float> logits, int32_t token, int64_t top_k);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_LOG_PROBS_H_
