// Errors come from a hash of seed and position.
#include "runtime/speculate/replay_drafter.h"

#include <algorithm>
#include <utility>

#include "absl/base/macros.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// The step of splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
uint64_t MixReplayBits(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

uint64_t HashOfReplay(uint64_t seed, int64_t position) {
  return MixReplayBits(MixReplayBits(seed) ^ static_cast<uint64_t>(position));
}

}  // namespace

void ReplayDrafter::Record(int64_t sequence, int64_t prompt_tokens, std::vector<int32_t> answer) {
  ABSL_ASSERT(options_.vocab_size >= 2);
  Sequence& recorded = sequences_[sequence];
  recorded = Sequence();
  recorded.prompt_tokens = prompt_tokens;
  recorded.answer = std::move(answer);
}

void ReplayDrafter::Observe(int64_t sequence, absl::Span<const int32_t> tokens) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) return;  // Propose() reports that nothing is recorded
  Sequence& known = found->second;
  for (const int32_t token : tokens) {
    const int64_t position = known.observed++ - known.prompt_tokens;
    if (position < 0 || position >= static_cast<int64_t>(known.answer.size())) continue;
    if (token != known.answer[position] && known.first_difference < 0)
      known.first_difference = position;
  }
}

absl::Status ReplayDrafter::Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) {
    return absl::NotFoundError(absl::StrCat("replay: no answer is recorded for sequence ", sequence,
                                            "; record it before the sequence begins"));
  }
  const Sequence& known = found->second;
  if (known.first_difference >= 0) {
    return absl::DataLossError(absl::StrCat("replay: sequence ", sequence, " got another token at ",
                                            known.first_difference,
                                            " of its answer than recorded; record it again"));
  }
  const int64_t first = known.observed - known.prompt_tokens;
  if (first < 0) return absl::OkStatus();
  const int64_t length = std::min<int64_t>(
      {limits.max_depth, limits.max_nodes, static_cast<int64_t>(known.answer.size()) - first});
  int32_t parent = kDraftRoot;
  for (int64_t position = first; position < first + length; ++position) {
    const int32_t recorded = known.answer[position];
    const int32_t token = IsWrong(position) ? WrongToken(position, recorded) : recorded;
    const double survival = tree->SurvivalOf(parent) * (1 - options_.error_probability);
    parent = tree->Add(parent, token, survival, options_.source, 0);
  }
  return absl::OkStatus();
}

int64_t ReplayDrafter::ExpectedAccepted(int64_t sequence, int64_t position, int64_t depth) const {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end() || position < 0) return 0;
  const int64_t end =
      std::min<int64_t>(static_cast<int64_t>(found->second.answer.size()), position + depth);
  int64_t right = position;
  while (right < end && !IsWrong(right)) ++right;
  return right - position;
}

bool ReplayDrafter::IsWrong(int64_t position) const {
  const double uniform = static_cast<double>(HashOfReplay(options_.seed, position) >> 11) * 0x1p-53;
  return uniform < options_.error_probability;
}

int32_t ReplayDrafter::WrongToken(int64_t position, int32_t recorded) const {
  const uint64_t hash = MixReplayBits(HashOfReplay(options_.seed, position));
  const auto others = static_cast<uint64_t>(options_.vocab_size - 1);
  return static_cast<int32_t>((static_cast<uint64_t>(recorded) + 1 + hash % others) %
                              static_cast<uint64_t>(options_.vocab_size));
}

}  // namespace sluice
