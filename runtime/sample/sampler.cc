// The steps, one function each.
#include "runtime/sample/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "runtime/sample/gumbel.h"
#include "runtime/sample/token_blocks.h"
#include "runtime/sample/top_tokens.h"

namespace sluice {
namespace {

constexpr struct {
  const char* name;
  SamplerStep step;
} kStepNames[] = {
    {"penalties", SamplerStep::kPenalties}, {"top_k", SamplerStep::kTopK},
    {"typ_p", SamplerStep::kTypicalP},      {"top_p", SamplerStep::kTopP},
    {"min_p", SamplerStep::kMinP},          {"temperature", SamplerStep::kTemperature},
};
// llama.cpp's steps that are off until an option of their own is given, which sluice does not have.
constexpr absl::string_view kIdleSteps[] = {"dry", "top_n_sigma", "xtc"};

// The most candidates that TopTokens picks, for which it needs memory of its own: 16 KiB.
constexpr int64_t kMostTopTokens = 1000;

bool Contains(absl::Span<const SamplerStep> steps, SamplerStep step) {
  return std::find(steps.begin(), steps.end(), step) != steps.end();
}

// Whether the most likely candidate is the answer, whatever the steps leave beside it.
bool IsGreedy(const SamplerOptions& options) {
  const absl::Span<const SamplerStep> steps = options.steps.get();
  return options.temperature <= 0 && Contains(steps, SamplerStep::kTemperature) &&
         (options.typical_p >= 1 || !Contains(steps, SamplerStep::kTypicalP));
}

// Whether the step leaves all candidates as they are.
bool IsIdle(SamplerStep step, const SamplerOptions& options) {
  switch (step) {
    case SamplerStep::kPenalties:
      return options.repeat_penalty == 1 && options.frequency_penalty == 0 &&
             options.presence_penalty == 0;
    case SamplerStep::kTopK:
      return options.top_k <= 0;
    case SamplerStep::kTypicalP:
      return options.typical_p >= 1;
    case SamplerStep::kTopP:
      return options.top_p >= 1;
    case SamplerStep::kMinP:
      return options.min_p <= 0;
    case SamplerStep::kTemperature:
      break;
  }
  return false;
}

// Whether the logits reach the choice as the model gave them.
bool KeepsLogits(const SamplerOptions& options) {
  return options.logit_bias.empty() && (IsIdle(SamplerStep::kPenalties, options) ||
                                        !Contains(options.steps.get(), SamplerStep::kPenalties));
}

// How many candidates the first step that is not idle leaves at most; 0: it is none that counts, or
// there are too many for TopTokens to be worth it.
int64_t FirstTopK(const SamplerOptions& options) {
  if (!options.logit_bias.empty()) return 0;
  for (const SamplerStep step : options.steps.get()) {
    if (IsIdle(step, options)) continue;
    return step == SamplerStep::kTopK && options.top_k <= kMostTopTokens ? options.top_k : 0;
  }
  return 0;
}

// Whether the choice is a draw from all allowed tokens: temperature is the only step that counts.
bool DrawsFromAll(const SamplerOptions& options) {
  if (options.temperature <= 0 || !options.logit_bias.empty()) return false;
  bool scales = false;
  for (const SamplerStep step : options.steps.get()) {
    if (step == SamplerStep::kTemperature) {
      scales = true;
    } else if (!IsIdle(step, options)) {
      return false;
    }
  }
  return scales;
}

// The allowed token with the largest sum of logit and noise. Most tokens cost a few multiplications
// for their noise, and no logarithm.
int32_t DrawFromAll(absl::Span<const float> logits, double temperature, const GumbelNoise& noise,
                    absl::Span<const uint64_t> allowed) {
  int32_t chosen = MostLikelyToken(logits, allowed);
  const double most = logits[chosen];
  double best = -std::numeric_limits<double>::infinity();
  for (size_t first = 0; first < logits.size(); first += kTokenBlock) {
    const size_t end = std::min(logits.size(), first + kTokenBlock);
    if (AllowsNone(allowed, first)) continue;
    const float block_most = end - first == kTokenBlock
                                 ? BlockMax(&logits[first])
                                 : *std::max_element(&logits[first], logits.data() + end);
    const double scaled = (block_most - most) / temperature;
    uint64_t limit = GumbelNoise::LimitOf(best - scaled);
    for (size_t i = first; i < end; ++i) {
      const auto id = static_cast<int32_t>(i);
      if (!noise.MayExceed(id, limit) || !Allows(allowed, i)) continue;
      const double score = (logits[i] - most) / temperature + noise.Of(id);
      if (score <= best) continue;
      best = score;
      chosen = id;
      limit = GumbelNoise::LimitOf(best - scaled);
    }
  }
  return chosen;
}

}  // namespace

SamplerSteps SamplerSteps::LlamaCpp() {
  SamplerSteps steps;
  for (const SamplerStep step :
       {SamplerStep::kPenalties, SamplerStep::kTopK, SamplerStep::kTypicalP, SamplerStep::kTopP,
        SamplerStep::kMinP, SamplerStep::kTemperature}) {
    steps.Add(step);
  }
  return steps;
}

SamplerSteps SamplerSteps::OpenAi() {
  SamplerSteps steps;
  for (const SamplerStep step :
       {SamplerStep::kPenalties, SamplerStep::kTemperature, SamplerStep::kMinP, SamplerStep::kTopK,
        SamplerStep::kTypicalP, SamplerStep::kTopP}) {
    steps.Add(step);
  }
  return steps;
}

absl::StatusOr<SamplerSteps> SamplerSteps::Parse(absl::string_view names) {
  SamplerSteps steps;
  for (const absl::string_view name : absl::StrSplit(names, ';', absl::SkipWhitespace())) {
    const auto idle = std::find(std::begin(kIdleSteps), std::end(kIdleSteps), name);
    if (idle != std::end(kIdleSteps)) continue;
    const auto known = std::find_if(std::begin(kStepNames), std::end(kStepNames),
                                    [&](const auto& step) { return name == step.name; });
    if (known == std::end(kStepNames)) {
      return absl::InvalidArgumentError(absl::StrCat("there is no sampler \"", name.substr(0, 40),
                                                     "\"; there are ", LlamaCpp().ToString()));
    }
    if (Contains(steps.get(), known->step)) {
      return absl::InvalidArgumentError(absl::StrCat("the sampler ", name, " is named twice"));
    }
    steps.Add(known->step);
  }
  return steps;
}

std::string SamplerSteps::ToString() const {
  std::string text;
  for (const SamplerStep step : get()) {
    for (const auto& known : kStepNames) {
      if (known.step == step) absl::StrAppend(&text, text.empty() ? "" : ";", known.name);
    }
  }
  return text;
}

SamplerOptions OpenAiSampling() {
  SamplerOptions options;
  options.steps = SamplerSteps::OpenAi();
  options.temperature = 1;
  options.top_k = 0;
  options.top_p = 1;
  options.min_p = 0;
  options.repeat_last_n = -1;
  options.counts_answer_only = true;
  return options;
}

std::optional<SamplerRangeError> CheckSampler(const SamplerOptions& o, int64_t vocab_size) {
  using Option = SamplerRangeError::Option;
  SamplerRangeError error = {Option::kTemperature, 0, nullptr};
  const auto check = [&](bool holds, Option option, double value, const char* range) {
    if (!holds && error.range == nullptr) error = {option, value, range};
  };
  check(std::isfinite(o.temperature), Option::kTemperature, o.temperature, "the finite numbers");
  check(o.top_p > 0 && o.top_p <= 1, Option::kTopP, o.top_p, "(0, 1]");
  check(o.min_p >= 0 && o.min_p <= 1, Option::kMinP, o.min_p, "[0, 1]");
  check(o.typical_p > 0 && o.typical_p <= 1, Option::kTypicalP, o.typical_p, "(0, 1]");
  // Logits stay finite.
  check(o.repeat_penalty >= 0.01 && o.repeat_penalty <= 100, Option::kRepeatPenalty,
        o.repeat_penalty, "[0.01, 100]");
  check(std::fabs(o.frequency_penalty) <= 100, Option::kFrequencyPenalty, o.frequency_penalty,
        "[-100, 100]");
  check(std::fabs(o.presence_penalty) <= 100, Option::kPresencePenalty, o.presence_penalty,
        "[-100, 100]");
  for (const auto& [id, bias] : o.logit_bias) {
    const bool known = id >= 0 && (vocab_size == 0 || id < vocab_size);
    check(known, Option::kLogitBiasToken, id, "the vocabulary");
    check(std::fabs(bias) <= kMostLogitBias, Option::kLogitBias, bias, "[-1e6, 1e6]");
  }
  if (error.range == nullptr) return std::nullopt;
  return error;
}

Sampler::Sampler(int64_t vocab_size) : vocab_size_(vocab_size) {
  candidates_.reserve(vocab_size);
  weights_.reserve(vocab_size);
  order_.reserve(vocab_size);
}

int64_t Sampler::MemoryBytes(int64_t vocab_size) {
  return vocab_size * static_cast<int64_t>(sizeof(Candidate) + sizeof(double) + sizeof(int32_t));
}

void Sampler::Penalize(const SamplerOptions& options, absl::Span<const int32_t> prompt,
                       absl::Span<const int32_t> generated) {
  const auto find = [this](int32_t id) {
    const auto at =
        std::lower_bound(candidates_.begin(), candidates_.end(), id,
                         [](const Candidate& c, int32_t wanted) { return c.id < wanted; });
    return at != candidates_.end() && at->id == id ? &*at : nullptr;
  };
  // Fills order_ with the last `n` of both, sorted.
  const auto take = [&](absl::Span<const int32_t> before, int64_t n) {
    const auto all = static_cast<int64_t>(before.size() + generated.size());
    const int64_t count = n < 0 ? all : std::min(n, all);
    const int64_t answer = std::min(count, static_cast<int64_t>(generated.size()));
    order_.assign(before.end() - (count - answer), before.end());
    order_.insert(order_.end(), generated.end() - answer, generated.end());
    std::sort(order_.begin(), order_.end());
  };
  // Calls with each different id of order_ and how often it is there.
  const auto for_each = [this](const auto& call) {
    for (size_t i = 0; i < order_.size();) {
      size_t end = i;
      while (end < order_.size() && order_[end] == order_[i]) ++end;
      call(order_[i], static_cast<int64_t>(end - i));
      i = end;
    }
  };
  if (options.repeat_penalty != 1) {
    take(prompt, options.repeat_last_n);
    const auto penalty = static_cast<float>(options.repeat_penalty);
    for_each([&](int32_t id, int64_t) {
      Candidate* const c = find(id);
      if (c == nullptr) return;
      const auto logit = static_cast<float>(c->logit);
      c->logit = logit > 0 ? logit / penalty : logit * penalty;
    });
  }
  if (options.frequency_penalty == 0 && options.presence_penalty == 0) return;
  if (options.counts_answer_only) {
    take({}, -1);
  } else {
    take(prompt, options.repeat_last_n);
  }
  for_each([&](int32_t id, int64_t count) {
    Candidate* const c = find(id);
    if (c == nullptr) return;
    const auto penalty = static_cast<float>(options.frequency_penalty * static_cast<double>(count) +
                                            options.presence_penalty);
    c->logit = static_cast<float>(c->logit) - penalty;
  });
}

double Sampler::BestLogit() const {
  double best = -std::numeric_limits<double>::infinity();
  for (const Candidate& c : candidates_) best = std::max(best, c.logit);
  return best;
}

double Sampler::Weigh() {
  const double best = BestLogit();
  weights_.clear();
  double sum = 0;
  for (const Candidate& c : candidates_) {
    weights_.push_back(std::exp(c.logit - best));
    sum += weights_.back();
  }
  return sum;
}

void Sampler::KeepTopK(int64_t k) {
  if (k <= 0 || k >= static_cast<int64_t>(candidates_.size())) return;
  std::nth_element(candidates_.begin(), candidates_.begin() + k, candidates_.end(),
                   [](const Candidate& a, const Candidate& b) {
                     return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
                   });
  candidates_.resize(k);
  std::sort(candidates_.begin(), candidates_.end(),
            [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
}

template <typename Better>
void Sampler::KeepShare(double share, double sum, Better better) {
  order_.resize(candidates_.size());
  std::iota(order_.begin(), order_.end(), 0);
  // Mostly a few candidates have it all: some are sorted, and more only if these do not.
  double cumulative = 0;
  size_t kept = 0;
  for (size_t sorted = 0; kept == sorted && sorted < order_.size();) {
    const size_t end = std::min(order_.size(), std::max<size_t>(256, 4 * sorted));
    const auto first = order_.begin() + sorted, last = order_.begin() + end;
    if (sorted == 0) {
      std::partial_sort(first, last, order_.end(), better);
    } else {  // a heap of thousands would be slower
      if (last != order_.end()) std::nth_element(first, last, order_.end(), better);
      std::sort(first, last, better);
    }
    sorted = end;
    while (kept < sorted && cumulative < share * sum) cumulative += weights_[order_[kept++]];
  }
  kept = std::max<size_t>(kept, 1);
  std::sort(order_.begin(), order_.begin() + kept);
  for (size_t i = 0; i < kept; ++i) candidates_[i] = candidates_[order_[i]];
  candidates_.resize(kept);
}

void Sampler::KeepTopP(double share) {
  if (share >= 1) return;
  const double sum = Weigh();
  KeepShare(share, sum, [this](int32_t a, int32_t b) {
    return weights_[a] != weights_[b] ? weights_[a] > weights_[b] : a < b;
  });
}

void Sampler::KeepTypical(double share) {
  if (share >= 1) return;
  const double best = BestLogit();
  const double sum = Weigh();
  // -ln p = ln(sum) - (logit - best): its mean is the entropy.
  const double log_sum = FixedLog(sum);
  double entropy = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (weights_[i] == 0) continue;
    entropy += weights_[i] / sum * (log_sum - (candidates_[i].logit - best));
  }
  const auto distance = [&](int32_t i) {
    return std::fabs(log_sum - (candidates_[i].logit - best) - entropy);
  };
  KeepShare(share, sum, [&](int32_t a, int32_t b) {
    const double of_a = distance(a), of_b = distance(b);
    return of_a != of_b ? of_a < of_b : a < b;
  });
}

void Sampler::KeepMinP(double share) {
  if (share <= 0) return;
  const double least = BestLogit() + FixedLog(share);
  std::erase_if(candidates_, [least](const Candidate& c) { return c.logit < least; });
}

void Sampler::Scale(double temperature) {
  // The best one becomes 0, so that no temperature is too low.
  const double best = BestLogit();
  for (Candidate& c : candidates_) c.logit = (c.logit - best) / temperature;
}

void Sampler::Apply(SamplerStep step, const SamplerOptions& options,
                    absl::Span<const int32_t> prompt, absl::Span<const int32_t> generated) {
  switch (step) {
    case SamplerStep::kPenalties:
      return Penalize(options, prompt, generated);
    case SamplerStep::kTopK:
      return KeepTopK(options.top_k);
    case SamplerStep::kTypicalP:
      return KeepTypical(options.typical_p);
    case SamplerStep::kTopP:
      return KeepTopP(options.top_p);
    case SamplerStep::kMinP:
      return KeepMinP(options.min_p);
    case SamplerStep::kTemperature:
      if (options.temperature <= 0) return KeepTopK(1);
      return Scale(options.temperature);
  }
}

void Sampler::Fill(absl::Span<const float> logits, const SamplerOptions& options,
                   absl::Span<const uint64_t> allowed) {
  if (const int64_t k = FirstTopK(options); k > 0) {
    candidates_.clear();
    for (const auto& [id, logit] : TopTokens(logits, k, allowed))
      candidates_.push_back({logit, id});
    std::sort(candidates_.begin(), candidates_.end(),
              [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
    return;
  }
  candidates_.resize(vocab_size_);
  for (int64_t id = 0; id < vocab_size_; ++id) {
    candidates_[id] = {logits[id], static_cast<int32_t>(id)};
  }
  for (const auto& [id, bias] : options.logit_bias) {
    candidates_[id].logit = static_cast<float>(candidates_[id].logit) + bias;
  }
  if (!allowed.empty()) {
    std::erase_if(candidates_,
                  [&](const Candidate& c) { return (allowed[c.id / 64] >> (c.id % 64) & 1) == 0; });
  }
}

int32_t Sampler::Sample(absl::Span<const float> logits, const SamplerOptions& options,
                        absl::Span<const int32_t> prompt, absl::Span<const int32_t> generated,
                        int64_t position, absl::Span<const uint64_t> allowed) {
  const bool greedy = IsGreedy(options);
  if (greedy && KeepsLogits(options)) return MostLikelyToken(logits, allowed);
  const GumbelNoise noise(options.seed, position);
  if (DrawsFromAll(options)) return DrawFromAll(logits, options.temperature, noise, allowed);
  Fill(logits, options, allowed);
  for (const SamplerStep step : options.steps.get()) {
    if (greedy && step != SamplerStep::kPenalties) continue;  // the best one stays
    Apply(step, options, prompt, generated);
  }
  const bool drawn = !greedy && candidates_.size() > 1;
  const Candidate* chosen = &candidates_[0];
  double best = -std::numeric_limits<double>::infinity();
  for (const Candidate& c : candidates_) {
    if (drawn && c.logit + noise.BoundOf(c.id) <= best) continue;  // mostly: no logarithm
    const double score = c.logit + (drawn ? noise.Of(c.id) : 0);
    if (score <= best) continue;
    best = score;
    chosen = &c;
  }
  return chosen->id;
}

}  // namespace sluice
