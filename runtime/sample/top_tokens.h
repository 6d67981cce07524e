// The most likely tokens, straight from logits: one reading pass, and no list of all tokens.
#ifndef SLUICE_RUNTIME_SAMPLE_TOP_TOKENS_H_
#define SLUICE_RUNTIME_SAMPLE_TOP_TOKENS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

// `logits` [vocab_size] are finite. `allowed` has a bit a token, low bits first; an empty one
// allows all tokens.

// Returns the allowed token with the largest logit, of equal ones the lowest id. One token at least
// is allowed.
int32_t MostLikelyToken(absl::Span<const float> logits, absl::Span<const uint64_t> allowed = {});

// Returns the `k` (at least 0) most likely of the allowed tokens with their logits: best first,
// equal ones by id; fewer where fewer are allowed. Needs memory for 2 * k + 64 tokens.
std::vector<std::pair<int32_t, float>> TopTokens(absl::Span<const float> logits, int64_t k,
                                                 absl::Span<const uint64_t> allowed = {});

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SAMPLE_TOP_TOKENS_H_
