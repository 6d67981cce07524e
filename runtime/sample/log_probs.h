// Log probabilities from logits.
#ifndef SLUICE_RUNTIME_SAMPLE_LOG_PROBS_H_
#define SLUICE_RUNTIME_SAMPLE_LOG_PROBS_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

struct TokenLogProb {
  double log_prob = 0;  // natural, at temperature 1
  // The most likely tokens, best first; equal ones by id
  std::vector<std::pair<int32_t, double>> top;
};

// Of `token`, and of the `top_k` most likely tokens. logits [vocab_size], finite.
TokenLogProb LogProbOf(absl::Span<const float> logits, int32_t token, int64_t top_k);

// What LogProbOf gives for many tokens, to the bit, in a fraction of the memory: a token has its
// logit and the normalizer, each likely token its id and its logit.
class LogProbList {
 public:
  // What a token with `top_k` likely ones takes, with the room that the list grows ahead.
  static int64_t BytesPerToken(int64_t top_k);

  // All have one `top_k`.
  void Add(absl::Span<const float> logits, int32_t token, int64_t top_k);
  // The same from what is kept: the log probability is `logit - normalizer`, each of `top` is an id
  // and its logit.
  void Add(double normalizer, float logit, absl::Span<const std::pair<int32_t, float>> top);

  size_t size() const { return tokens_.size(); }
  TokenLogProb operator[](size_t i) const;

 private:
  struct Token {
    double normalizer;
    float logit;
  };
  std::vector<Token> tokens_;
  std::vector<std::pair<int32_t, float>> top_;  // [size(), top_per_token_]
  size_t top_per_token_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SAMPLE_LOG_PROBS_H_
