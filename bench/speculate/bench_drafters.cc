// A chain is a greedy text of the draft model; a tree of given size is a comb.
#include "bench/speculate/bench_drafters.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/status_macros.h"
#include "runtime/sample/gumbel.h"
#include "runtime/sample/top_tokens.h"

namespace sluice {
namespace {

// As ModelDrafter ranks: the tokens that are looked at, and below which part of the likeliest
// one's probability a target with the usual filters draws none.
constexpr int64_t kLookedAt = 32;
constexpr double kLeastPart = 0.03;

// What the target would choose if its logits were these.
int32_t LikelyChoice(absl::Span<const float> logits, const DraftLimits& limits, int64_t position) {
  const std::vector<std::pair<int32_t, float>> top = TopTokens(logits, kLookedAt);
  if (limits.temperature <= 0) return top[0].first;
  const GumbelNoise noise(limits.seed, position);
  int32_t best = top[0].first;
  double best_score = noise.Of(best);
  for (const auto& [token, logit] : top) {
    const double score = (double{logit} - top[0].second) / limits.temperature;
    if (score < std::log(kLeastPart)) break;
    if (score + noise.Of(token) <= best_score) continue;
    best = token;
    best_score = score + noise.Of(token);
  }
  return best;
}

}  // namespace

ChainDrafter::~ChainDrafter() {
  for (auto& [id, sequence] : sequences_) model_->kv_cache().Release(sequence.pages);
}

void ChainDrafter::Observe(int64_t sequence, absl::Span<const int32_t> tokens) {
  std::vector<int32_t>& known = sequences_[sequence].tokens;
  known.insert(known.end(), tokens.begin(), tokens.end());
}

void ChainDrafter::Forget(int64_t sequence) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) return;
  model_->kv_cache().Release(found->second.pages);
  sequences_.erase(found);
}

absl::StatusOr<absl::Span<const float>> ChainDrafter::Compute(absl::Span<const int32_t> tokens,
                                                              Sequence* s) {
  const auto size = static_cast<int64_t>(tokens.size());
  const auto same = std::mismatch(s->cached.begin(), s->cached.end(), tokens.begin(), tokens.end());
  int64_t done = std::min(same.first - s->cached.begin(), size - 1);
  absl::Span<const float> logits;
  while (done < size) {
    std::vector<PassRow> rows;
    const int64_t end = std::min(size, done + model_->plan().pass_rows);
    for (; done < end; ++done) rows.push_back({&s->pages, done, tokens[done], done + 1 == size});
    SLUICE_ASSIGN_OR_RETURN(logits, model_->RunPass(rows));
  }
  s->cached.assign(tokens.begin(), tokens.end());
  return logits;
}

absl::Status ChainDrafter::Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end() || found->second.tokens.empty()) return absl::OkStatus();
  Sequence& s = found->second;
  const int64_t length = std::min<int64_t>(limits.max_depth, limits.max_nodes);
  std::vector<int32_t> path = s.tokens;
  SLUICE_RETURN_IF_ERROR(
      model_->kv_cache().Reserve(s.pages, static_cast<int64_t>(path.size()) + length));
  int32_t parent = kDraftRoot;
  for (int64_t depth = 0; depth < length; ++depth) {
    SLUICE_ASSIGN_OR_RETURN(const absl::Span<const float> logits, Compute(path, &s));
    const auto known = std::min(logits.size(), static_cast<size_t>(vocab_size_));
    const auto position = static_cast<int64_t>(path.size());
    path.push_back(LikelyChoice(logits.first(known), limits, position));
    parent = tree->Add(parent, path.back(), 1, 0, kConfidenceBuckets - 1);
  }
  return absl::OkStatus();
}

absl::Status EveryOtherDrafter::Propose(int64_t, const DraftLimits& limits, DraftTree* tree) {
  if (calls_++ % 2 != 0) return absl::OkStatus();
  // A path with a branch of one node behind each of its nodes in turn.
  const auto path = std::min<int64_t>({12, limits.max_depth, limits.max_nodes});
  for (int64_t i = 0; i < limits.max_nodes; ++i) {
    const auto above = static_cast<int32_t>(i < path ? i - 1 : i % std::max<int64_t>(path - 1, 1));
    const int32_t parent = path == 1 ? kDraftRoot : above;
    const auto token = static_cast<int32_t>((i * 7919 + calls_ * 104729 + 13) % vocab_size_);
    tree->Add(parent, token, 1 - 0.001 * static_cast<double>(i), 0, 0);
  }
  return absl::OkStatus();
}

}  // namespace sluice
