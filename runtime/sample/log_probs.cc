// Softmax in the log domain.
#include "runtime/sample/log_probs.h"

#include <algorithm>
#include <cmath>

#include "runtime/sample/top_tokens.h"

namespace sluice {
namespace {

// A list grows by this part of itself: less than vectors do, as many lists are held at once.
constexpr size_t kGrowth = 4;

// log(sum(exp(logits))), in double.
double LogSumExp(absl::Span<const float> logits) {
  const double best = logits[MostLikelyToken(logits)];
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - best);
  return best + std::log(sum);
}

template <typename T>
void MakeRoom(std::vector<T>& list, size_t more) {
  if (list.size() + more > list.capacity())
    list.reserve(list.size() + std::max(more, list.size() / kGrowth));
}

}  // namespace

TokenLogProb LogProbOf(absl::Span<const float> logits, int32_t token, int64_t top_k) {
  const double normalizer = LogSumExp(logits);
  TokenLogProb result;
  result.log_prob = logits[token] - normalizer;
  for (const auto& [id, logit] : TopTokens(logits, top_k))
    result.top.emplace_back(id, logit - normalizer);
  return result;
}

int64_t LogProbList::BytesPerToken(int64_t top_k) {
  const auto bytes =
      static_cast<int64_t>(sizeof(Token)) +
      std::max<int64_t>(top_k, 0) * static_cast<int64_t>(sizeof(std::pair<int32_t, float>));
  return bytes + bytes / static_cast<int64_t>(kGrowth);
}

void LogProbList::Add(absl::Span<const float> logits, int32_t token, int64_t top_k) {
  Add(LogSumExp(logits), logits[token], TopTokens(logits, top_k));
}

void LogProbList::Add(double normalizer, float logit,
                      absl::Span<const std::pair<int32_t, float>> top) {
  top_per_token_ = top.size();
  MakeRoom(tokens_, 1);
  tokens_.push_back({normalizer, logit});
  MakeRoom(top_, top.size());
  top_.insert(top_.end(), top.begin(), top.end());
}

TokenLogProb LogProbList::operator[](size_t i) const {
  const double normalizer = tokens_[i].normalizer;
  TokenLogProb result;
  result.log_prob = tokens_[i].logit - normalizer;
  for (size_t j = i * top_per_token_; j < (i + 1) * top_per_token_; ++j) {
    result.top.emplace_back(top_[j].first, top_[j].second - normalizer);
  }
  return result;
}

}  // namespace sluice
