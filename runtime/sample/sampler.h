// Chooses the next token from logits: bias, penalties, truncation and temperature, step by step,
// then the largest, or a draw.
#ifndef SLUICE_RUNTIME_SAMPLE_SAMPLER_H_
#define SLUICE_RUNTIME_SAMPLE_SAMPLER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

// A step works on what the step before it left: candidates with a logit each.
enum class SamplerStep : uint8_t {
  kPenalties,
  kTopK,
  kTypicalP,
  kTopP,
  kMinP,
  kTemperature,
};

// The order of the steps; a step that is not in it is not taken.
class SamplerSteps {
 public:
  // llama.cpp's: penalties;top_k;typ_p;top_p;min_p;temperature.
  static SamplerSteps LlamaCpp();
  // OpenAI's and vLLM's: penalties;temperature;min_p;top_k;typ_p;top_p.
  static SamplerSteps OpenAi();
  // Reads names of llama.cpp's --samplers with semicolons between them. dry, top_n_sigma and xtc
  // are taken and do nothing, as in llama.cpp without their own options. InvalidArgument names a
  // name that is unknown or comes twice.
  static absl::StatusOr<SamplerSteps> Parse(absl::string_view names);

  std::string ToString() const;
  absl::Span<const SamplerStep> get() const { return {steps_.data(), static_cast<size_t>(size_)}; }

 private:
  SamplerSteps() = default;
  void Add(SamplerStep step) { steps_[size_++] = step; }

  std::array<SamplerStep, 6> steps_ = {};
  int size_ = 0;
};

// Names and defaults are llama.cpp's; OpenAiSampling has those of the OpenAI API.
struct SamplerOptions {
  SamplerSteps steps = SamplerSteps::LlamaCpp();
  double temperature = 0.8;  // 0 or below: the most likely token, of equal ones the lowest id
  int64_t top_k = 40;        // keeps the k most likely; 0 or below: all
  double top_p = 0.95;       // keeps the smallest set that has this probability; 1: all
  double min_p = 0.05;       // drops tokens below this share of the most likely one's probability
  double typical_p = 1;      // keeps the smallest set of this probability whose tokens' surprise is
                             // nearest to the expected one (arXiv:2202.00666); 1: all
  // Divides a logit above 0 of a token that came before, multiplies another (CTRL,
  // arXiv:1909.05858); 1: off.
  double repeat_penalty = 1;
  double frequency_penalty = 0;  // off a token's logit for each time that it came before
  double presence_penalty = 0;   // the same, once
  // The penalties look at this many of the last tokens; below 0: at all.
  int64_t repeat_last_n = 64;
  // Frequency and presence count only the tokens behind the prompt, and all of these.
  bool counts_answer_only = false;
  std::vector<std::pair<int32_t, float>> logit_bias = {};  // added before the first step
  uint64_t seed = 0;
};
inline constexpr float kMostLogitBias = 1e6;  // and its negative: no token is chosen with that

// The defaults of the OpenAI API, with what vLLM adds.
SamplerOptions OpenAiSampling();

// An option outside its range.
struct SamplerRangeError {
  enum class Option : uint8_t {
    kTemperature,
    kTopP,
    kMinP,
    kTypicalP,
    kRepeatPenalty,
    kFrequencyPenalty,
    kPresencePenalty,
    kLogitBias,
    kLogitBiasToken,  // outside of the vocabulary
  };
  Option option;
  double value;
  const char* range;  // "(0, 1]"
};
// The first option that no sampler can work with; nothing where all are good. A vocab_size of 0
// leaves the tokens of logit_bias unchecked.
std::optional<SamplerRangeError> CheckSampler(const SamplerOptions& options, int64_t vocab_size);

// Owns scratch for vocab_size candidates, allocated once. The noise of a draw depends on
// (seed, position, token) alone (gumbel.h), so a sequence can be taken up anywhere, and any two
// samplers with the same options draw the same.
class Sampler {
 public:
  explicit Sampler(int64_t vocab_size);
  static int64_t MemoryBytes(int64_t vocab_size);

  // The token for `position`, which follows `prompt` and `generated`. logits [vocab_size], finite.
  // `allowed` has a bit a token, low bits first, and one at least is set; without it all tokens are
  // allowed. Options must be in range.
  int32_t Sample(absl::Span<const float> logits, const SamplerOptions& options,
                 absl::Span<const int32_t> prompt, absl::Span<const int32_t> generated,
                 int64_t position, absl::Span<const uint64_t> allowed = {});

 private:
  struct Candidate {
    double logit;
    int32_t id;
  };

  // Makes the candidates: all allowed tokens, or only those that a first top_k keeps.
  void Fill(absl::Span<const float> logits, const SamplerOptions& options,
            absl::Span<const uint64_t> allowed);
  void Apply(SamplerStep step, const SamplerOptions& options, absl::Span<const int32_t> prompt,
             absl::Span<const int32_t> generated);
  void Penalize(const SamplerOptions& options, absl::Span<const int32_t> prompt,
                absl::Span<const int32_t> generated);
  void KeepTopK(int64_t k);
  void KeepTopP(double share);
  void KeepTypical(double share);
  void KeepMinP(double share);
  void Scale(double temperature);
  double BestLogit() const;
  // Fills weights_ with e to the logits less the best one's, and returns their sum.
  double Weigh();
  // The smallest set of the first candidates, by `better`, that has `share` of `sum`; the others
  // go.
  template <typename Better>
  void KeepShare(double share, double sum, Better better);

  std::vector<Candidate> candidates_;  // ascending by id
  std::vector<double> weights_;        // beside them
  std::vector<int32_t> order_;         // indices of candidates_, or ids
  const int64_t vocab_size_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SAMPLE_SAMPLER_H_
