// A suffix automaton of token texts, which counts what followed each suffix.
#ifndef SLUICE_RUNTIME_SPECULATE_SUFFIX_AUTOMATON_H_
#define SLUICE_RUNTIME_SPECULATE_SUFFIX_AUTOMATON_H_

#include <cstdint>
#include <memory>
#include <vector>

namespace sluice {

// An array that grows by small chunks: nothing moves, and hardly any memory lies unused.
template <typename T>
class ChunkedArray {
 public:
  int32_t size() const { return size_; }
  T& operator[](int32_t i) { return chunks_[i / kChunk][i % kChunk]; }
  const T& operator[](int32_t i) const { return chunks_[i / kChunk][i % kChunk]; }
  // Returns the index of the new element.
  int32_t Append(const T& element) {
    if (size_ % kChunk == 0) chunks_.push_back(std::make_unique<T[]>(kChunk));
    (*this)[size_] = element;
    return size_++;
  }
  int64_t MemoryBytes() const {
    return static_cast<int64_t>(chunks_.size() * kChunk * sizeof(T) +
                                chunks_.capacity() * sizeof(chunks_[0]));
  }

 private:
  static constexpr int32_t kChunk = 256;
  std::vector<std::unique_ptr<T[]>> chunks_;
  int32_t size_ = 0;
};

// The automaton of Blumer et al. (1985), built online in amortised constant time a token. A state
// stands for the suffixes that end at the same places of the text; `length` is that of the longest
// one, and `link` leads to the state of the longest suffix that also ends elsewhere. Where several
// texts are appended (Separate() between them), no suffix reaches from one into the next.
//
// Each edge counts how often its token followed its state's suffixes. An appended token followed
// all suffixes of the text, which are the states on the links from the end; their number is not
// bounded, so only the longest kCountedLinks ones that knew the token count it. Counts are exact
// where no more than these exist, which is nearly always so; else short suffixes count too few.
// A state's edges are ordered by when they were counted, the last one first.
//
// A token takes at most kMaxBytesPerToken (2 states, 3 edges and their hash slots); 73 bytes were
// measured in prose, 36 to 101 in artificial texts. For one thread.
class SuffixAutomaton {
 public:
  static constexpr int64_t kMaxBytesPerToken = 2 * 12 + 3 * 24 + 32 + 2;
  // What an automaton needs besides, however small.
  static constexpr int64_t kFixedBytes = 16 << 10;
  static constexpr int kCountedLinks = 16;
  static constexpr int32_t kRoot = 0;

  struct Edge {
    int32_t state;     // where it begins
    int32_t token;     // at least 0
    int32_t target;    // a state
    int32_t next;      // the edge of the same state that was counted before this one, or -1
    int32_t previous;  // the one counted after this one, or -1
    int32_t count;
  };

  // A suffix of a text that the automaton reads along: its longest suffix that occurs here.
  // Appending to the automaton keeps a match valid, but see Current().
  struct Match {
    int32_t state = kRoot;
    int32_t length = 0;  // tokens
  };

  SuffixAutomaton();

  // Appends `token` (at least 0) to the text.
  void Append(int32_t token);
  // Ends the text: the next token begins another one.
  void Separate() { end_ = kRoot; }

  // The longest suffix of the text that occurred earlier in it. For a single text only.
  Match Repeated() const;

  // The same suffix in the automaton as it is now: states are split while it grows.
  Match Current(Match match) const;
  // The longest suffix of `match` and `token` that occurs. `match` is current.
  Match Advanced(Match match, int32_t token) const;
  // The longest shorter suffix that also occurs elsewhere. `match` is current and not empty.
  Match Shortened(Match match) const;

  // The edges of a state in their order: the first, then edge(e).next, until -1.
  int32_t first_edge(int32_t state) const { return states_[state].first_edge; }
  const Edge& edge(int32_t index) const { return edges_[index]; }

  int64_t tokens() const { return tokens_; }
  int64_t MemoryBytes() const;

 private:
  struct State {
    int32_t length;
    int32_t link;  // -1: the root
    int32_t first_edge;
  };
  // The edge of `state` with this token, or -1.
  int32_t FindEdge(int32_t state, int32_t token) const;
  void AddEdge(int32_t state, int32_t token, int32_t target);
  // Splits `state`: a new one takes its suffixes of at most `length` tokens.
  int32_t Split(int32_t state, int32_t length);
  // Leads the edges with this token from `from` and its links that go to `target` to `instead`.
  void Redirect(int32_t from, int32_t token, int32_t target, int32_t instead);
  // The state of the suffixes at `from` with `token`, which it has an edge for, split off where
  // longer ones share it.
  int32_t TargetOf(int32_t from, int32_t token);
  void CountFollower(int32_t state, int32_t token);
  void MoveToFront(int32_t edge);
  void InsertSlot(int32_t edge);
  void ReserveSlots(int64_t count);

  ChunkedArray<State> states_;
  ChunkedArray<Edge> edges_;
  // A hash table of the edges of states with two and more: open addressing, -1 is empty. A single
  // edge is found without it.
  std::vector<int32_t> slots_;
  int64_t used_slots_ = 0;
  int32_t end_ = kRoot;  // the state of the whole text
  int64_t tokens_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_SPECULATE_SUFFIX_AUTOMATON_H_
