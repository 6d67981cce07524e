// Sampling from logits.
#include "runtime/sample/sampler.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

uint64_t Mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

double UniformAt(uint64_t seed, int64_t position) {
  return static_cast<double>(Mix(Mix(seed) ^ static_cast<uint64_t>(position)) >> 11) * 0x1p-53;
}

absl::Status CheckSamplerOptions(const SamplerOptions& o) {
  const auto refuse = [](absl::string_view name, double value, absl::string_view range) {
    return absl::InvalidArgumentError(absl::StrCat(name, " ", value, " is not in ", range));
  };
  if (!std::isfinite(o.temperature)) return refuse("--temp", o.temperature, "the finite numbers");
  if (!(o.top_p > 0 && o.top_p <= 1)) return refuse("--top-p", o.top_p, "(0, 1]");
  if (!(o.min_p >= 0 && o.min_p <= 1)) return refuse("--min-p", o.min_p, "[0, 1]");
  if (!(o.repeat_penalty > 0) || !std::isfinite(o.repeat_penalty)) {
    return refuse("--repeat-penalty", o.repeat_penalty, "(0, inf)");
  }
  return absl::OkStatus();
}

Sampler::Sampler(const SamplerOptions& options, int64_t vocab_size) : options_(options) {
  candidates_.reserve(vocab_size);
  weights_.reserve(vocab_size);
}

int64_t Sampler::MemoryBytes(int64_t vocab_size) {
  return vocab_size * static_cast<int64_t>(sizeof(Candidate) + sizeof(double));
}

int32_t Sampler::Sample(absl::Span<const float> logits, absl::Span<const int32_t> history,
                        int64_t position, absl::Span<const uint64_t> allowed) {
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i)
    candidates_.push_back({logits[i], static_cast<int32_t>(i)});

  if (options_.repeat_penalty != 1.0 && options_.repeat_last_n > 0) {
    const size_t n = std::min<size_t>(history.size(), options_.repeat_last_n);
    const absl::Span<const int32_t> recent = history.last(n);
    for (size_t i = 0; i < recent.size(); ++i) {
      const int32_t id = recent[i];
      if (id < 0 || id >= static_cast<int64_t>(logits.size())) continue;
      if (std::find(recent.begin(), recent.begin() + i, id) != recent.begin() + i) continue;
      float& logit = candidates_[id].logit;
      const float penalty = static_cast<float>(options_.repeat_penalty);
      logit = logit > 0 ? logit / penalty : logit * penalty;
    }
  }

  if (!allowed.empty()) {
    std::erase_if(candidates_,
                  [&](const Candidate& c) { return (allowed[c.id / 64] >> (c.id % 64) & 1) == 0; });
  }

  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  if (options_.temperature <= 0) {
    return std::min_element(candidates_.begin(), candidates_.end(), better)->id;
  }

  size_t kept = candidates_.size();
  if (options_.top_k > 0) kept = std::min<size_t>(kept, options_.top_k);
  std::partial_sort(candidates_.begin(), candidates_.begin() + kept, candidates_.end(), better);

  // Probabilities relative to the best one, at temperature 1: what top-p and min-p are defined
  // over.
  const double best = candidates_[0].logit;
  weights_.clear();
  double sum = 0;
  for (size_t i = 0; i < kept; ++i) {
    weights_.push_back(std::exp(candidates_[i].logit - best));
    sum += weights_.back();
  }
  if (options_.top_p < 1) {
    double cumulative = 0;
    size_t n = 0;
    while (n < kept && cumulative < options_.top_p * sum) cumulative += weights_[n++];
    kept = std::max<size_t>(n, 1);
  }
  while (kept > 1 && weights_[kept - 1] < options_.min_p) --kept;

  sum = 0;
  for (size_t i = 0; i < kept; ++i) {
    weights_[i] = std::exp((candidates_[i].logit - best) / options_.temperature);
    sum += weights_[i];
  }
  double left = UniformAt(options_.seed, position) * sum;
  for (size_t i = 0; i < kept; ++i) {
    left -= weights_[i];
    if (left < 0) return candidates_[i].id;
  }
  return candidates_[kept - 1].id;
}

}  // namespace sluice
