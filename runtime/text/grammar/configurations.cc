// Follows bytes, returns and calls.
#include "runtime/text/grammar/configurations.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace sluice::grammar {
namespace {

using State = Automaton::State;

State StateOf(uint64_t pair) { return static_cast<State>(pair >> 32); }
uint32_t FrameOf(uint64_t pair) { return static_cast<uint32_t>(pair); }

void SortUnique(std::vector<uint64_t>* pairs) {
  std::sort(pairs->begin(), pairs->end());
  pairs->erase(std::unique(pairs->begin(), pairs->end()), pairs->end());
}

// The approximate memory of nodes of the maps and of vectors that grow.
constexpr int64_t kEntryBytes = 128;

}  // namespace

Configurations::Configurations(const Automaton* automaton, std::vector<int32_t> to_end,
                               const Limits& limits)
    : automaton_(automaton), to_end_(std::move(to_end)), limits_(limits) {
  Clear();
  const FrameId root = InternFrame({}, /*accepts=*/true);
  const uint64_t seed = Pack(automaton_->rules()[automaton_->root()].start, root);
  start_ = Close({&seed, 1});
}

void Configurations::Clear() {
  frame_ids_.clear();
  config_ids_.clear();
  frames_.clear();
  configs_.clear();
  rows_.clear();
  next_.clear();
  memory_bytes_ = 0;
  InternConfig({}, /*accepts=*/false);  // kDead
}

void Configurations::Fail(absl::string_view what, int64_t limit) {
  if (!status_.ok()) return;
  status_ = absl::ResourceExhaustedError(
      absl::StrCat("grammar: following it takes more than ", limit, " ", what));
}

int32_t Configurations::BytesToEnd(const Key& pairs, bool accepts) const {
  int64_t fewest = accepts ? 0 : Automaton::kNever;
  for (const uint64_t pair : pairs) {
    fewest =
        std::min(fewest, int64_t{to_end_[StateOf(pair)]} + frames_[FrameOf(pair)].bytes_to_end);
  }
  return static_cast<int32_t>(fewest);
}

Configurations::FrameId Configurations::InternFrame(Key returns, bool accepts) {
  const auto [it, is_new] =
      frame_ids_.try_emplace({std::move(returns), accepts}, static_cast<FrameId>(frames_.size()));
  if (is_new) {
    const Key& key = it->first.first;
    frames_.push_back({&key, accepts, BytesToEnd(key, accepts)});
    memory_bytes_ += kEntryBytes + 8 * static_cast<int64_t>(key.size());
  }
  return it->second;
}

Configurations::Id Configurations::InternConfig(Key threads, bool accepts) {
  const auto [it, is_new] =
      config_ids_.try_emplace({std::move(threads), accepts}, static_cast<Id>(configs_.size()));
  if (is_new) {
    const Key& key = it->first.first;
    configs_.push_back({&key, accepts, BytesToEnd(key, accepts)});
    rows_.push_back(kNoRow);
    memory_bytes_ += kEntryBytes + 8 * static_cast<int64_t>(key.size());
  }
  return it->second;
}

void Configurations::AddCalls(State state, FrameId frame) {
  for (const Automaton::CallEdge& edge : automaton_->calls(state)) {
    Call& call = calls_[automaton_->rules()[edge.rule].rank];
    call.rule = edge.rule;
    if (automaton_->only_end(edge.target)) {
      // The way back would only lead to the caller's callers, which take its place: so a rule that
      // ends with itself needs no more frames than a loop.
      const Frame& callers = frames_[frame];
      call.returns.insert(call.returns.end(), callers.returns->begin(), callers.returns->end());
      call.accepts |= callers.accepts;
    } else {
      call.returns.push_back(Pack(edge.target, frame));
    }
  }
}

void Configurations::DropFurtherTimes(Key* threads) {
  // Otherwise counting behind every letter (a? [a-z]{0,30}) would give as many configurations as
  // texts.
  repetitions_.clear();
  std::erase_if(*threads, [this](uint64_t thread) {
    const uint32_t repetition = automaton_->repetition(StateOf(thread));
    return repetition != 0 && !repetitions_.insert(Pack(repetition, FrameOf(thread))).second;
  });
}

Configurations::Id Configurations::Close(absl::Span<const uint64_t> seeds) {
  Key threads;
  bool accepts = false;
  seen_.clear();
  calls_.clear();
  const auto open = [this](uint64_t pair) {
    if (seen_.insert(pair).second) open_.push_back(pair);
  };
  const auto take = [&](uint64_t pair) {
    const State state = StateOf(pair);
    if (!automaton_->bytes(state).empty()) threads.push_back(pair);
    AddCalls(state, FrameOf(pair));
    for (const State next : automaton_->empties(state)) open(Pack(next, FrameOf(pair)));
  };
  for (const uint64_t seed : seeds) open(seed);
  while (!open_.empty()) {
    const uint64_t pair = open_.back();
    open_.pop_back();
    take(pair);
    if (automaton_->is_end(StateOf(pair))) {
      const Frame& frame = frames_[FrameOf(pair)];
      accepts |= frame.accepts;
      for (const uint64_t back : *frame.returns) open(back);
    }
    if (static_cast<int64_t>(seen_.size()) > limits_.threads)
      Fail("ways to read the text", limits_.threads);
    if (!status_.ok()) open_.clear();
  }
  // A rule that is called here has all its callers before it in rank. Its end is not followed back:
  // if it matches nothing, an edge past the call was taken.
  while (!calls_.empty() && status_.ok()) {
    Call call = std::move(calls_.extract(calls_.begin()).mapped());
    SortUnique(&call.returns);
    const FrameId frame = InternFrame(std::move(call.returns), call.accepts);
    open(Pack(automaton_->rules()[call.rule].start, frame));
    while (!open_.empty()) {
      const uint64_t pair = open_.back();
      open_.pop_back();
      take(pair);
    }
    if (static_cast<int64_t>(seen_.size()) > limits_.threads)
      Fail("ways to read the text", limits_.threads);
  }
  edges_ += static_cast<int64_t>(seen_.size());
  if (edges_ > limits_.edges) Fail("edges for one mask", limits_.edges);
  if (!status_.ok()) return kDead;
  SortUnique(&threads);
  DropFurtherTimes(&threads);
  return InternConfig(std::move(threads), accepts);
}

void Configurations::AddRow(Id id) {
  const int num_classes = automaton_->num_classes();
  rows_[id] = static_cast<uint32_t>(next_.size());
  next_.resize(next_.size() + num_classes, kUnknown);
  memory_bytes_ += num_classes * static_cast<int64_t>(sizeof(Id));
}

Configurations::Id Configurations::Union(Id a, Id b) {
  if (a == b || b == kDead) return a;
  if (a == kDead) return b;
  Key threads = *configs_[a].threads;
  threads.insert(threads.end(), configs_[b].threads->begin(), configs_[b].threads->end());
  SortUnique(&threads);
  DropFurtherTimes(&threads);
  return InternConfig(std::move(threads), configs_[a].accepts || configs_[b].accepts);
}

Configurations::Id Configurations::Follow(Id id, uint16_t input_class) {
  if (memory_bytes_ > limits_.memory_bytes) Fail("bytes of memory", limits_.memory_bytes);
  if (!status_.ok()) return kDead;
  // Every edge has all classes from `first` to `last`, or none of them.
  int first = 0, last = automaton_->num_classes() - 1;
  seeds_.clear();
  for (const uint64_t thread : *configs_[id].threads) {
    for (const Automaton::ByteEdge& edge : automaton_->bytes(StateOf(thread))) {
      if (edge.last_class < input_class) {
        first = std::max(first, edge.last_class + 1);
      } else if (edge.first_class > input_class) {
        last = std::min(last, edge.first_class - 1);
      } else {
        first = std::max<int>(first, edge.first_class);
        last = std::min<int>(last, edge.last_class);
        seeds_.push_back(Pack(edge.target, FrameOf(thread)));
      }
      ++edges_;
    }
  }
  const Id to = seeds_.empty() ? kDead : Close(seeds_);
  if (!status_.ok()) return kDead;
  std::fill(next_.begin() + rows_[id] + first, next_.begin() + rows_[id] + last + 1, to);
  return to;
}

void Configurations::Compact(absl::Span<Id* const> live) {
  // The parts that stay, in the old numbers. A frame's callers have smaller numbers than the frame.
  struct Old {
    Key pairs;
    bool accepts;
  };
  std::map<FrameId, Old> frames;
  std::vector<Old> configs;
  std::vector<bool> wanted(frames_.size());
  const auto want = [&](const Key& pairs) {
    for (const uint64_t pair : pairs) wanted[FrameOf(pair)] = true;
  };
  for (const Id* id : live) {
    configs.push_back({*configs_[*id].threads, configs_[*id].accepts});
    want(configs.back().pairs);
  }
  const Old start = {*configs_[start_].threads, configs_[start_].accepts};
  want(start.pairs);
  for (FrameId frame = static_cast<FrameId>(frames_.size()); frame-- > 0;) {
    if (!wanted[frame]) continue;
    frames[frame] = {*frames_[frame].returns, frames_[frame].accepts};
    want(frames[frame].pairs);
  }
  Clear();
  absl::flat_hash_map<FrameId, FrameId> renamed;
  const auto rename = [&](Key pairs) {
    for (uint64_t& pair : pairs) pair = Pack(StateOf(pair), renamed[FrameOf(pair)]);
    SortUnique(&pairs);
    return pairs;
  };
  for (const auto& [frame, old] : frames)
    renamed[frame] = InternFrame(rename(old.pairs), old.accepts);
  start_ = InternConfig(rename(start.pairs), start.accepts);
  for (size_t i = 0; i < live.size(); ++i)
    *live[i] = InternConfig(rename(configs[i].pairs), configs[i].accepts);
}

}  // namespace sluice::grammar
