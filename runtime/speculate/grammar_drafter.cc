// The likeliest candidate first, as long as states may be looked at.
#include "runtime/speculate/grammar_drafter.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>

#include "absl/base/macros.h"
#include "kernels/base/status_macros.h"

namespace sluice {
namespace {

// A token that nothing else is allowed beside. Below it the tokens that spell one text have a
// bucket each by their rank, and below these the others.
constexpr int8_t kOnlyBucket = kConfidenceBuckets - 1;
constexpr int kSpellingBuckets = 7;
constexpr int kOtherBuckets = kOnlyBucket - kSpellingBuckets;
// The Speculator would give no row to a node that is less likely.
constexpr double kLeastWorth = 0.003;

absl::string_view TextOf(const grammar::Vocabulary& vocabulary, int32_t token) {
  const absl::Span<const uint8_t> bytes = vocabulary.bytes(token);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool OneBeginsWithTheOther(absl::string_view a, absl::string_view b) {
  const size_t common = std::min(a.size(), b.size());
  return a.substr(0, common) == b.substr(0, common);
}

int8_t BucketOfRank(int rank, int num_spelling) {
  if (rank < num_spelling) {
    return static_cast<int8_t>(kOnlyBucket - 1 - std::min(rank, kSpellingBuckets - 1));
  }
  return static_cast<int8_t>(kOtherBuckets - 1 - std::min(rank - num_spelling, kOtherBuckets - 1));
}

}  // namespace

const Calibration::Priors& GrammarDrafter::InitialRates() {
  static constexpr Calibration::Priors kRates = {0.02, 0.02, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2,
                                                 0.02, 0.02, 0.03, 0.05, 0.1,  0.2, 0.75, 0.99};
  return kRates;
}

GrammarDrafter::GrammarDrafter(int source, const Calibration* calibration)
    : source_(source), calibration_(calibration) {
  ABSL_ASSERT(source < calibration->num_sources());
}

int GrammarDrafter::FindAllowed(const grammar::Vocabulary& vocabulary) {
  allowed_.clear();
  int count = 0;
  for (const uint64_t word : mask_) count += std::popcount(word);
  const auto num_ends = static_cast<int>(vocabulary.end_ids().size());
  if (count > kMostAllowed + num_ends) return 0;
  bool may_end = false;
  for (size_t w = 0; w < mask_.size(); ++w) {
    for (uint64_t bits = mask_[w]; bits != 0; bits &= bits - 1) {
      const int32_t token = static_cast<int32_t>(64 * w) + std::countr_zero(bits);
      if (vocabulary.is_end(token)) {
        may_end = true;
      } else {
        allowed_.push_back(token);
      }
    }
  }
  if (allowed_.size() > kMostAllowed) allowed_.clear();
  const auto text = [&](int32_t token) { return TextOf(vocabulary, token); };
  // Of equal texts the later id is the usual spelling: ids of single bytes come first.
  std::sort(allowed_.begin(), allowed_.end(), [&](int32_t a, int32_t b) {
    const size_t a_bytes = text(a).size(), b_bytes = text(b).size();
    return a_bytes != b_bytes ? a_bytes > b_bytes : a > b;
  });
  const auto spells = [&](int32_t token) {
    return !may_end && std::all_of(allowed_.begin(), allowed_.end(), [&](int32_t other) {
      return OneBeginsWithTheOther(text(token), text(other));
    });
  };
  const auto others = std::stable_partition(allowed_.begin(), allowed_.end(), spells);
  return static_cast<int>(others - allowed_.begin());
}

absl::Status GrammarDrafter::PushCandidates(const DraftLimits& limits, const DraftTree& tree,
                                            int32_t place) {
  Place& at = places_[static_cast<size_t>(place)];
  const int32_t depth = tree.DepthOf(at.node);
  const absl::Status status = at.matcher.Mask(limits.tokens_left - depth, &mask_);
  // Nothing can follow here, or looking ahead is too much work for this grammar: it is left.
  if (absl::IsFailedPrecondition(status) || absl::IsResourceExhausted(status)) {
    return absl::OkStatus();
  }
  SLUICE_RETURN_IF_ERROR(status);
  const int num_spelling = FindAllowed(at.matcher.vocabulary());
  const auto num_allowed = static_cast<int>(allowed_.size());
  const bool only = num_allowed == 1 && num_spelling == 1;
  for (int rank = 0; rank < num_allowed; ++rank) {
    const int8_t bucket = only ? kOnlyBucket : BucketOfRank(rank, num_spelling);
    const double rate = only ? 1 : calibration_->Rate(source_, bucket, depth + 1);
    const double survival = tree.SurvivalOf(at.node) * rate;
    if (survival < kLeastWorth) continue;
    heap_.push_back({survival, order_++, place, allowed_[static_cast<size_t>(rank)], bucket});
    std::push_heap(heap_.begin(), heap_.end());
  }
  return absl::OkStatus();
}

absl::Status GrammarDrafter::Propose(int64_t /*sequence*/, const DraftLimits& limits,
                                     DraftTree* tree) {
  if (limits.grammar == nullptr || limits.grammar->finished() || limits.max_depth < 1) {
    return absl::OkStatus();
  }
  places_.clear();
  heap_.clear();
  order_ = 0;
  places_.push_back({*limits.grammar, kDraftRoot});
  absl::Status status = PushCandidates(limits, *tree, 0);
  int states = 1;
  for (int64_t added = 0; status.ok() && added < limits.max_nodes && !heap_.empty();) {
    std::pop_heap(heap_.begin(), heap_.end());
    const Candidate best = heap_.back();
    heap_.pop_back();
    Place place = {places_[static_cast<size_t>(best.place)].matcher,
                   places_[static_cast<size_t>(best.place)].node};
    status = place.matcher.Accept(best.token);
    if (!status.ok() || place.matcher.finished()) continue;
    place.node = tree->Add(place.node, best.token, best.survival, source_, best.bucket);
    ++added;
    if (tree->DepthOf(place.node) >= limits.max_depth || states == kMostStates) continue;
    ++states;
    places_.push_back(std::move(place));
    status = PushCandidates(limits, *tree, static_cast<int32_t>(places_.size()) - 1);
  }
  places_.clear();  // they are shares of the sequence's grammar
  return status;
}

std::vector<int32_t> AllowedNodes(const grammar::Matcher& matcher, const DraftTree& tree) {
  std::vector<int32_t> allowed;
  // Behind each node; nothing where the text does not go through it.
  std::vector<std::optional<grammar::Matcher>> states(static_cast<size_t>(tree.size()));
  for (int32_t node = 0; node < tree.size(); ++node) {
    const DraftNode& at = tree.nodes()[static_cast<size_t>(node)];
    std::optional<grammar::Matcher>& state = states[static_cast<size_t>(node)];
    if (at.parent == kDraftRoot) {
      state.emplace(matcher);
    } else if (const auto& above = states[static_cast<size_t>(at.parent)]; above.has_value()) {
      state.emplace(*above);
    } else {
      continue;
    }
    if (state->Accept(at.token).ok() && !state->finished()) {
      allowed.push_back(node);
    } else {
      state.reset();
    }
  }
  return allowed;
}

}  // namespace sluice
