// Best-first growth of a tree over two suffix automata.
#include "runtime/speculate/suffix_drafter.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/base/macros.h"

namespace sluice {
namespace {

// So many suffixes of each automaton vote, so many of each one's last followers are looked at, and
// so many followers of a node become candidates.
constexpr int kMaxVotingSuffixes = 6;
constexpr int kMaxVotesOfSuffix = 16;
constexpr size_t kMaxCandidatesOfNode = 16;

// The part of the remaining votes that a suffix with many followers gives away, by its length.
double WeightOfSuffix(int32_t length) {
  struct Row {
    int32_t longest;
    double weight;
  };
  static constexpr Row kRows[] = {{1, 0.30}, {2, 0.45},  {3, 0.55},  {4, 0.62},  {6, 0.70},
                                  {8, 0.77}, {12, 0.83}, {16, 0.88}, {24, 0.92}, {32, 0.95}};
  for (const Row& row : kRows)
    if (length <= row.longest) return row.weight;
  return 0.97;
}

// Votes from which each bucket but the first begins.
constexpr double kBucketBegins[kConfidenceBuckets - 1] = {
    0.01, 0.02, 0.04, 0.07, 0.11, 0.16, 0.23, 0.31, 0.40, 0.50, 0.60, 0.70, 0.80, 0.88, 0.95};

int BucketOfVotes(double votes) {
  return static_cast<int>(
      std::upper_bound(std::begin(kBucketBegins), std::end(kBucketBegins), votes) -
      std::begin(kBucketBegins));
}

}  // namespace

const Calibration::Priors& SuffixDrafter::InitialRates() {
  static constexpr Calibration::Priors kRates = {0.01, 0.02, 0.04, 0.07, 0.11, 0.18, 0.23, 0.32,
                                                 0.38, 0.48, 0.58, 0.65, 0.76, 0.83, 0.90, 0.97};
  return kRates;
}

SuffixDrafter::SuffixDrafter(const SuffixDrafterOptions& options, const Calibration* calibration)
    : options_(options), calibration_(calibration) {
  ABSL_ASSERT(std::max(options.source, options.shared_source) < calibration->num_sources());
}

void SuffixDrafter::Learn(absl::Span<const int32_t> tokens) {
  for (const int32_t token : tokens) {
    if (shared_.tokens() >= options_.max_shared_tokens) break;
    shared_.Append(token);
  }
  shared_.Separate();
}

void SuffixDrafter::Observe(int64_t sequence, absl::Span<const int32_t> tokens) {
  Sequence& known = sequences_[sequence];
  known.shared = shared_.Current(known.shared);
  for (const int32_t token : tokens) {
    known.shared = shared_.Advanced(known.shared, token);
    known.is_full = known.is_full || sequence_tokens_ >= options_.max_sequence_tokens;
    if (known.is_full) {
      known.own = known.text.Advanced(known.own, token);
    } else {
      known.text.Append(token);
      ++sequence_tokens_;
      known.own = known.text.Repeated();
    }
  }
}

void SuffixDrafter::Forget(int64_t sequence) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end()) return;
  sequence_tokens_ -= found->second.text.tokens();
  sequences_.erase(found);
}

absl::Status SuffixDrafter::Propose(int64_t sequence, const DraftLimits& limits, DraftTree* tree) {
  const auto found = sequences_.find(sequence);
  if (found == sequences_.end() || limits.max_depth < 1) return absl::OkStatus();
  const Sequence& known = found->second;
  places_.clear();
  heap_.clear();
  order_ = 0;
  places_.push_back({kDraftRoot, known.own, shared_.Current(known.shared)});
  PushCandidates(known, 0, 1, 1);
  for (int64_t added = 0; added < limits.max_nodes && !heap_.empty(); ++added) {
    std::pop_heap(heap_.begin(), heap_.end());
    const Candidate best = heap_.back();
    heap_.pop_back();
    const Place& parent = places_[best.place];
    const int32_t node =
        tree->Add(parent.node, best.token, best.survival, best.source, best.bucket);
    const int32_t depth = tree->DepthOf(node);
    if (depth >= limits.max_depth) continue;
    const Place place = {node, known.text.Advanced(parent.own, best.token),
                         shared_.Advanced(parent.shared, best.token)};
    places_.push_back(place);
    PushCandidates(known, static_cast<int32_t>(places_.size()) - 1, depth + 1, best.survival);
  }
  return absl::OkStatus();
}

void SuffixDrafter::PushCandidates(const Sequence& sequence, int32_t place, int32_t depth,
                                   double survival) {
  FindFollowers(sequence, places_[place]);
  // Followers of one bucket have one rate; a hair of difference keeps them in order.
  double hair = 1;
  for (const Follower& follower : followers_) {
    const int bucket = BucketOfVotes(follower.votes);
    const double rate = calibration_->Rate(follower.source, bucket, depth) * hair;
    hair -= 1e-6;
    heap_.push_back({survival * rate, order_++, place, follower.token, follower.source, bucket});
    std::push_heap(heap_.begin(), heap_.end());
  }
}

void SuffixDrafter::FindSuffixes(const Sequence& sequence, const Place& place) {
  suffixes_.clear();
  const auto add = [this](const SuffixAutomaton& automaton, Match match, int source) {
    for (int i = 0; i < kMaxVotingSuffixes && match.length > 0; ++i) {
      suffixes_.push_back({&automaton, match, source});
      match = automaton.Shortened(match);
    }
  };
  add(sequence.text, place.own, options_.source);
  add(shared_, place.shared, options_.shared_source);
  // Of equally long ones the sequence's own goes first.
  std::stable_sort(suffixes_.begin(), suffixes_.end(), [](const Suffix& a, const Suffix& b) {
    return a.match.length > b.match.length;
  });
}

void SuffixDrafter::CountVotes(const Suffix& suffix, double* remaining) {
  const SuffixAutomaton& automaton = *suffix.automaton;
  const int32_t first = automaton.first_edge(suffix.match.state);
  double total = 0;
  int32_t edge = first;
  for (int i = 0; i < kMaxVotesOfSuffix && edge >= 0; ++i) {
    total += automaton.edge(edge).count;
    edge = automaton.edge(edge).next;
  }
  if (total == 0) return;  // the end of the text: nothing has followed
  // A short suffix that has occurred once proves little.
  const int32_t length = suffix.match.length;
  const double trusted = total / (total + 2.0 / (1 + length));
  const double given = *remaining * WeightOfSuffix(length) * trusted;
  *remaining -= given;
  edge = first;
  for (int i = 0; i < kMaxVotesOfSuffix && edge >= 0; ++i) {
    const SuffixAutomaton::Edge& follower = automaton.edge(edge);
    auto known = std::find_if(followers_.begin(), followers_.end(),
                              [&](const Follower& f) { return f.token == follower.token; });
    if (known == followers_.end())
      known = followers_.insert(known, {follower.token, suffix.source, 0});
    known->votes += given * follower.count / total;
    edge = follower.next;
  }
}

void SuffixDrafter::FindFollowers(const Sequence& sequence, const Place& place) {
  FindSuffixes(sequence, place);
  followers_.clear();
  double remaining = 1;
  size_t of_longest = 0;  // the first followers are those of the longest suffix that has any
  for (const Suffix& suffix : suffixes_) {
    CountVotes(suffix, &remaining);
    if (of_longest == 0) of_longest = followers_.size();
  }
  double most = 0;
  for (size_t i = 0; i < of_longest; ++i) most = std::max(most, followers_[i].votes);
  for (size_t i = of_longest; i < followers_.size(); ++i)
    followers_[i].votes = std::min(followers_[i].votes, most);
  std::stable_sort(followers_.begin(), followers_.end(),
                   [](const Follower& a, const Follower& b) { return a.votes > b.votes; });
  if (followers_.size() > kMaxCandidatesOfNode) followers_.resize(kMaxCandidatesOfNode);
}

int64_t SuffixDrafter::MemoryBytes() const {
  int64_t bytes = shared_.MemoryBytes();
  for (const auto& [number, sequence] : sequences_)
    bytes += sequence.text.MemoryBytes() + static_cast<int64_t>(sizeof(Sequence));
  return bytes;
}

SuffixDrafterOptions SuffixDrafterOptions::For(int64_t context_tokens, int64_t num_sequences) {
  constexpr int64_t kMostTokens = 64 << 10;
  SuffixDrafterOptions options;
  options.max_sequence_tokens =
      num_sequences == 1 ? context_tokens : std::min(context_tokens * num_sequences, kMostTokens);
  options.max_shared_tokens = num_sequences == 1 ? 0 : kMostTokens;
  return options;
}

int64_t SuffixDrafter::MaxMemoryBytes(const SuffixDrafterOptions& options, int64_t sequences) {
  return (options.max_sequence_tokens + options.max_shared_tokens) *
             SuffixAutomaton::kMaxBytesPerToken +
         (sequences + 1) * SuffixAutomaton::kFixedBytes;
}

}  // namespace sluice
