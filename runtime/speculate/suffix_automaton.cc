// The textbook construction, with edges in lists by recency and a hash table to find them.
#include "runtime/speculate/suffix_automaton.h"

#include "absl/base/macros.h"

namespace sluice {
namespace {

constexpr size_t kLeastSlots = 64;

uint64_t HashOfSuffixEdge(int32_t state, int32_t token) {
  uint64_t x = static_cast<uint64_t>(static_cast<uint32_t>(state)) << 32 |
               static_cast<uint64_t>(static_cast<uint32_t>(token));
  x *= 0x9E3779B97F4A7C15u;
  return x ^ (x >> 32);
}

}  // namespace

SuffixAutomaton::SuffixAutomaton() : slots_(kLeastSlots, -1) { states_.Append({0, -1, -1}); }

void SuffixAutomaton::Append(int32_t token) {
  ABSL_ASSERT(token >= 0);
  ++tokens_;
  if (FindEdge(end_, token) >= 0) {  // only behind Separate(): the text begins like another one
    const int32_t from = end_;
    end_ = TargetOf(from, token);
    CountFollower(from, token);
    return;
  }
  const int32_t grown = states_.Append({states_[end_].length + 1, kRoot, -1});
  int32_t suffix = end_;
  end_ = grown;
  // These suffixes never had the token behind them, so the new edges count one.
  while (suffix >= 0 && FindEdge(suffix, token) < 0) {
    AddEdge(suffix, token, grown);
    suffix = states_[suffix].link;
  }
  if (suffix < 0) return;
  const int32_t link = TargetOf(suffix, token);
  states_[grown].link = link;
  CountFollower(suffix, token);
}

int32_t SuffixAutomaton::TargetOf(int32_t from, int32_t token) {
  const int32_t target = edges_[FindEdge(from, token)].target;
  const int32_t length = states_[from].length + 1;
  if (states_[target].length == length) return target;
  const int32_t split = Split(target, length);
  Redirect(from, token, target, split);
  return split;
}

int32_t SuffixAutomaton::Split(int32_t state, int32_t length) {
  const int32_t split = states_.Append({length, states_[state].link, -1});
  // What followed the longer suffixes followed the shorter ones: they were one state. New edges
  // go to the front, so the copy begins with the last.
  int32_t last = states_[state].first_edge;
  while (last >= 0 && edges_[last].next >= 0) last = edges_[last].next;
  for (int32_t e = last; e >= 0; e = edges_[e].previous) {
    AddEdge(split, edges_[e].token, edges_[e].target);
    edges_[states_[split].first_edge].count = edges_[e].count;
  }
  states_[state].link = split;
  return split;
}

void SuffixAutomaton::Redirect(int32_t from, int32_t token, int32_t target, int32_t instead) {
  for (int32_t s = from; s >= 0; s = states_[s].link) {
    const int32_t edge = FindEdge(s, token);
    if (edge < 0 || edges_[edge].target != target) return;
    edges_[edge].target = instead;
  }
}

void SuffixAutomaton::CountFollower(int32_t state, int32_t token) {
  int32_t suffix = state;
  for (int i = 0; i < kCountedLinks && suffix >= 0; ++i) {
    const int32_t edge = FindEdge(suffix, token);
    ++edges_[edge].count;
    MoveToFront(edge);
    suffix = states_[suffix].link;
  }
}

SuffixAutomaton::Match SuffixAutomaton::Repeated() const {
  const int32_t link = states_[end_].link;
  if (link < 0) return {};
  return {link, states_[link].length};
}

SuffixAutomaton::Match SuffixAutomaton::Current(Match match) const {
  while (match.state != kRoot && states_[states_[match.state].link].length >= match.length)
    match.state = states_[match.state].link;
  return match;
}

SuffixAutomaton::Match SuffixAutomaton::Advanced(Match match, int32_t token) const {
  while (true) {
    const int32_t edge = FindEdge(match.state, token);
    if (edge >= 0) return {edges_[edge].target, match.length + 1};
    if (match.state == kRoot) return {};
    match = Shortened(match);
  }
}

SuffixAutomaton::Match SuffixAutomaton::Shortened(Match match) const {
  const int32_t link = states_[match.state].link;
  return {link, states_[link].length};
}

int32_t SuffixAutomaton::FindEdge(int32_t state, int32_t token) const {
  const int32_t first = states_[state].first_edge;
  if (first < 0 || edges_[first].token == token) return first;
  if (edges_[first].next < 0) return -1;
  const size_t mask = slots_.size() - 1;
  for (size_t slot = HashOfSuffixEdge(state, token) & mask;; slot = (slot + 1) & mask) {
    const int32_t edge = slots_[slot];
    if (edge < 0 || (edges_[edge].state == state && edges_[edge].token == token)) return edge;
  }
}

void SuffixAutomaton::AddEdge(int32_t state, int32_t token, int32_t target) {
  ReserveSlots(2);
  const int32_t first = states_[state].first_edge;
  const int32_t added = edges_.Append({state, token, target, first, -1, 1});
  states_[state].first_edge = added;
  if (first < 0) return;
  edges_[first].previous = added;
  if (edges_[first].next < 0) InsertSlot(first);
  InsertSlot(added);
}

void SuffixAutomaton::MoveToFront(int32_t edge) {
  Edge& moved = edges_[edge];
  if (moved.previous < 0) return;
  edges_[moved.previous].next = moved.next;
  if (moved.next >= 0) edges_[moved.next].previous = moved.previous;
  State& state = states_[moved.state];
  edges_[state.first_edge].previous = edge;
  moved.next = state.first_edge;
  moved.previous = -1;
  state.first_edge = edge;
}

void SuffixAutomaton::InsertSlot(int32_t edge) {
  const size_t mask = slots_.size() - 1;
  size_t slot = HashOfSuffixEdge(edges_[edge].state, edges_[edge].token) & mask;
  while (slots_[slot] >= 0) slot = (slot + 1) & mask;
  slots_[slot] = edge;
  ++used_slots_;
}

// Only complete lists may be in edges_ when this is called: the table is built from them anew, so
// that the old one need not live beside it.
void SuffixAutomaton::ReserveSlots(int64_t count) {
  if (4 * (used_slots_ + count) <= 3 * static_cast<int64_t>(slots_.size())) return;
  const size_t size = slots_.size() * 2;
  slots_ = std::vector<int32_t>();
  slots_.assign(size, -1);
  used_slots_ = 0;
  for (int32_t e = 0; e < edges_.size(); ++e)
    if (edges_[states_[edges_[e].state].first_edge].next >= 0) InsertSlot(e);
}

int64_t SuffixAutomaton::MemoryBytes() const {
  return states_.MemoryBytes() + edges_.MemoryBytes() +
         static_cast<int64_t>(slots_.capacity() * sizeof(slots_[0]));
}

}  // namespace sluice
