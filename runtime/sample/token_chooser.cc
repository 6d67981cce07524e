// Penalties, temperature, top-p and the draw.
#include "runtime/sample/token_chooser.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "runtime/sample/sampler.h"

namespace sluice {

absl::Status CheckChoiceParams(const ChoiceParams& params, int64_t vocab_size) {
  const auto refuse = [](absl::string_view name, double value, absl::string_view range) {
    return absl::InvalidArgumentError(absl::StrCat(name, " ", value, " is not in ", range));
  };
  if (!(params.temperature >= 0 && params.temperature <= 2)) {
    return refuse("temperature", params.temperature, "[0, 2]");
  }
  if (!(params.top_p > 0 && params.top_p <= 1)) return refuse("top_p", params.top_p, "(0, 1]");
  if (!(std::fabs(params.frequency_penalty) <= 2)) {
    return refuse("frequency_penalty", params.frequency_penalty, "[-2, 2]");
  }
  if (!(std::fabs(params.presence_penalty) <= 2)) {
    return refuse("presence_penalty", params.presence_penalty, "[-2, 2]");
  }
  if (params.top_k < 0) return refuse("top_k", static_cast<double>(params.top_k), "[0, inf)");
  if (!(params.min_p >= 0 && params.min_p <= 1)) return refuse("min_p", params.min_p, "[0, 1]");
  if (!(params.repetition_penalty >= 0.01 &&
        params.repetition_penalty <= 100)) {  // logits stay finite
    return refuse("repetition_penalty", params.repetition_penalty, "[0.01, 100]");
  }
  for (const auto& [id, bias] : params.logit_bias) {
    if (id < 0 || id >= vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("logit_bias names token ", id, ", the vocabulary has ", vocab_size));
    }
    if (!(std::fabs(bias) <= 100)) return refuse("logit_bias", bias, "[-100, 100]");
  }
  return absl::OkStatus();
}

TokenChooser::TokenChooser(int64_t vocab_size) {
  logits_.reserve(vocab_size);
  weights_.reserve(vocab_size);
  order_.reserve(vocab_size);
}

void TokenChooser::Penalize(const ChoiceParams& params, absl::Span<const int32_t> prompt,
                            absl::Span<const int32_t> generated) {
  if (params.repetition_penalty != 1) {
    order_.assign(prompt.begin(), prompt.end());
    order_.insert(order_.end(), generated.begin(), generated.end());
    std::sort(order_.begin(), order_.end());
    const auto end = std::unique(order_.begin(), order_.end());
    const auto penalty = static_cast<float>(params.repetition_penalty);
    for (auto id = order_.begin(); id != end; ++id) {
      float& logit = logits_[*id];
      logit = logit > 0 ? logit / penalty : logit * penalty;
    }
  }
  if (params.frequency_penalty == 0 && params.presence_penalty == 0) return;
  // Sorted, so that the sum of a token's penalties is one multiplication, whatever the order.
  order_.assign(generated.begin(), generated.end());
  std::sort(order_.begin(), order_.end());
  for (size_t i = 0; i < order_.size();) {
    size_t end = i;
    while (end < order_.size() && order_[end] == order_[i]) ++end;
    logits_[order_[i]] -= static_cast<float>(
        params.frequency_penalty * static_cast<double>(end - i) + params.presence_penalty);
    i = end;
  }
}

void TokenChooser::Truncate(const ChoiceParams& params) {
  order_.resize(weights_.size());
  std::iota(order_.begin(), order_.end(), 0);
  // The best token's weight is 1.
  if (params.min_p > 0)
    std::erase_if(order_, [&](int32_t id) { return weights_[id] < params.min_p; });
  if (params.top_k == 0 || params.top_k >= static_cast<int64_t>(order_.size())) return;
  std::nth_element(order_.begin(), order_.begin() + params.top_k, order_.end(),
                   [&](int32_t a, int32_t b) {
                     return weights_[a] != weights_[b] ? weights_[a] > weights_[b] : a < b;
                   });
  order_.resize(params.top_k);
  std::sort(order_.begin(),
            order_.end());  // else the order, and with it the draw, is the library's
}

size_t TokenChooser::Nucleus(double share, double sum) {
  const auto better = [&](int32_t a, int32_t b) {
    return weights_[a] != weights_[b] ? weights_[a] > weights_[b] : a < b;
  };
  // Mostly a few tokens have it all: sort some, and more only if they do not.
  double cumulative = 0;
  size_t kept = 0;
  for (size_t sorted = 0; kept == sorted && sorted < order_.size();) {
    const size_t end = std::min(order_.size(), std::max<size_t>(256, 8 * sorted));
    std::partial_sort(order_.begin() + sorted, order_.begin() + end, order_.end(), better);
    sorted = end;
    while (kept < sorted && cumulative < share * sum) cumulative += weights_[order_[kept++]];
  }
  return std::max<size_t>(kept, 1);
}

int32_t TokenChooser::Choose(absl::Span<const float> logits, const ChoiceParams& params,
                             absl::Span<const int32_t> generated, int64_t position,
                             absl::Span<const uint64_t> allowed, absl::Span<const int32_t> prompt) {
  logits_.assign(logits.begin(), logits.end());
  for (const auto& [id, bias] : params.logit_bias) logits_[id] += bias;
  Penalize(params, prompt, generated);
  if (!allowed.empty()) {
    for (size_t id = 0; id < logits_.size(); ++id) {
      if ((allowed[id / 64] >> (id % 64) & 1) == 0)
        logits_[id] = -std::numeric_limits<float>::infinity();
    }
  }
  const auto best = std::max_element(logits_.begin(), logits_.end());
  if (params.temperature <= 0) return static_cast<int32_t>(best - logits_.begin());

  weights_.clear();
  double sum = 0;
  for (const float logit : logits_) {
    weights_.push_back(std::exp((static_cast<double>(logit) - *best) / params.temperature));
    sum += weights_.back();
  }
  double left = UniformAt(params.seed, position);
  const bool truncated = params.top_k > 0 || params.min_p > 0;
  if (truncated || params.top_p < 1) {
    Truncate(params);
    if (truncated) {
      sum = 0;
      for (const int32_t id : order_) sum += weights_[id];
    }
    size_t kept = params.top_p < 1 ? Nucleus(params.top_p, sum) : order_.size();
    while (kept > 1 && weights_[order_[kept - 1]] == 0)
      --kept;  // rounding took in what has no probability
    sum = 0;
    for (size_t i = 0; i < kept; ++i) sum += weights_[order_[i]];
    left *= sum;
    for (size_t i = 0; i < kept; ++i) {
      left -= weights_[order_[i]];
      if (left < 0) return order_[i];
    }
    return order_[kept - 1];
  }
  left *= sum;
  for (size_t id = 0; id < weights_.size(); ++id) {
    left -= weights_[id];
    if (left < 0) return static_cast<int32_t>(id);
  }
  return static_cast<int32_t>(best - logits_.begin());  // rounding left nothing
}

}  // namespace sluice
