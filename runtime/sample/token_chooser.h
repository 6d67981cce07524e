// Chooses tokens by the sampling parameters of the OpenAI API, and by the further ones of vLLM, as
// these define them.
#ifndef SLUICE_RUNTIME_SAMPLE_TOKEN_CHOOSER_H_
#define SLUICE_RUNTIME_SAMPLE_TOKEN_CHOOSER_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace sluice {

struct ChoiceParams {
  double temperature = 1;  // 0: the most likely token, of equal ones the lowest
  double top_p = 1;        // keep the smallest set that has this probability; 1: all
  uint64_t seed = 0;
  double frequency_penalty = 0;  // off a token's logit for each time it was generated
  double presence_penalty = 0;   // the same, once
  std::vector<std::pair<int32_t, float>> logit_bias;  // added
  // vLLM's:
  int64_t top_k = 0;  // keep so many of the most likely tokens; 0: all
  double min_p = 0;   // drop tokens below this share of the most likely one's probability
  double repetition_penalty =
      1;  // divides a logit above 0 of a token of the prompt or the answer, multiplies others
};
// InvalidArgument names a parameter outside its range, or a token of logit_bias outside the
// vocabulary.
absl::Status CheckChoiceParams(const ChoiceParams& params, int64_t vocab_size);

// Applies bias and penalties (the repetition penalty first), then the temperature, then min_p,
// top_k and top_p, each to what the one before left, then draws. Owns scratch of vocab_size
// entries. The random number depends on (seed, position) alone (UniformAt in
// runtime/sample/sampler.h), so that a sequence can be taken up anywhere.
class TokenChooser {
 public:
  explicit TokenChooser(int64_t vocab_size);

  // logits [vocab_size], finite. `generated` are the tokens after the prompt, `position` is that of
  // the token to choose. `allowed` has a bit a token, low bits first, and one at least is set;
  // without it all tokens are allowed. `prompt` is looked at for the repetition penalty only.
  int32_t Choose(absl::Span<const float> logits, const ChoiceParams& params,
                 absl::Span<const int32_t> generated, int64_t position,
                 absl::Span<const uint64_t> allowed = {}, absl::Span<const int32_t> prompt = {});

 private:
  void Penalize(const ChoiceParams& params, absl::Span<const int32_t> prompt,
                absl::Span<const int32_t> generated);
  // Fills order_ with the tokens that min_p and top_k leave.
  void Truncate(const ChoiceParams& params);
  // Sorts the likeliest tokens to the front of order_ until they have `share` of `sum`; how many
  // those are.
  size_t Nucleus(double share, double sum);

  std::vector<float> logits_;
  std::vector<double> weights_;
  std::vector<int32_t> order_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SAMPLE_TOKEN_CHOOSER_H_
