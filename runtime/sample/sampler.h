// Chooses the next token from logits: greedy, or at random after penalties and truncation.
#ifndef SLUICE_RUNTIME_SAMPLE_SAMPLER_H_
#define SLUICE_RUNTIME_SAMPLE_SAMPLER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace sluice {

// Names and defaults are llama.cpp's.
struct SamplerOptions {
  double temperature = 0.8;  // 0 or below: greedy
  int64_t top_k = 40;        // keep the k most likely; 0 or below: all
  double top_p = 0.95;       // keep the smallest set that has this probability; 1: all
  double min_p = 0.05;       // drop tokens below this share of the most likely one's probability
  double repeat_penalty =
      1.0;  // of tokens among the last repeat_last_n; 1: off (CTRL, arXiv:1909.05858)
  int64_t repeat_last_n = 64;
  uint64_t seed = 0;
};
// InvalidArgument names an option outside its range.
absl::Status CheckSamplerOptions(const SamplerOptions& options);

// Applies, in llama.cpp's order: repeat penalty, top-k, top-p, min-p, temperature, draw. Owns
// scratch of vocab_size entries, allocated once. The random number of a draw depends on (seed,
// position) alone, so that a sequence can be taken up anywhere.
class Sampler {
 public:
  Sampler(const SamplerOptions& options, int64_t vocab_size);
  static int64_t MemoryBytes(int64_t vocab_size);

  // logits [vocab_size], finite. `history` are all tokens so far, `position` that of the token to
  // choose. Equal logits: the lower id wins. `allowed` has a bit a token, low bits first, and one
  // at least is set; without it all tokens are allowed.
  int32_t Sample(absl::Span<const float> logits, absl::Span<const int32_t> history,
                 int64_t position, absl::Span<const uint64_t> allowed = {});

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };
  SamplerOptions options_;
  std::vector<Candidate> candidates_;
  std::vector<double> weights_;
};

// Uniform in [0, 1) from a counter: two rounds of the splitmix64 finalizer over (seed, position).
double UniformAt(uint64_t seed, int64_t position);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SAMPLE_SAMPLER_H_
