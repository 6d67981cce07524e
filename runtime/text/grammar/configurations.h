// The configurations of an automaton with calls: what it can be doing after some bytes, found as
// needed.
//
// A thread is a state and a frame: the place that the text has come to in a rule, and the places
// that the rule's end leads back to. A frame is a set of (state, frame) pairs, one for each caller
// at the place where the rule began, as in the graph-structured stacks of generalized LR parsing
// (Tomita 1985); so ambiguity costs frames and not copies of stacks. A configuration is the set of
// threads that one text can lead to. Equal frames and equal configurations are made once and have
// numbers, so that each question about one (what follows on a byte, how far the end is) is answered
// once. It is a DFA of unlimited size, made lazily.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_CONFIGURATIONS_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_CONFIGURATIONS_H_

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/container/node_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "runtime/text/grammar/automaton.h"
#include "runtime/text/grammar/limits.h"

namespace sluice::grammar {

// For one thread at a time.
class Configurations {
 public:
  using Id = uint32_t;
  static constexpr Id kDead = 0;  // no text goes on from here

  // `automaton` must outlive this object. `to_end` is the result of Automaton::BytesToEnd.
  Configurations(const Automaton* automaton, std::vector<int32_t> to_end, const Limits& limits);

  Id start() const { return start_; }
  Id Next(Id id, uint8_t byte) { return NextOnClass(id, automaton_->class_of(byte)); }
  // Returns the configuration after a token that is named as Grammar::tokens()[token], whatever its
  // bytes are.
  Id NextOnToken(Id id, int token) { return NextOnClass(id, automaton_->class_of_token(token)); }
  // Returns the configuration of texts that are at either of two places.
  Id Union(Id a, Id b);
  // Returns whether the text can end here.
  bool accepts(Id id) const { return configs_[id].accepts; }
  // Returns whether the text must end here.
  bool at_end(Id id) const { return configs_[id].accepts && configs_[id].threads->empty(); }
  // Returns the fewest bytes to a place where the text can end; Automaton::kNever: there is none.
  int32_t bytes_to_end(Id id) const { return configs_[id].bytes_to_end; }

  int64_t num_threads(Id id) const { return static_cast<int64_t>(configs_[id].threads->size()); }
  // Returns the configuration of a single thread of `id`: whatever may follow it may follow `id`.
  Id OnlyThread(Id id, int64_t thread) {
    return InternConfig({(*configs_[id].threads)[thread]}, /*accepts=*/false);
  }

  int64_t size() const { return static_cast<int64_t>(configs_.size()); }
  int64_t MemoryBytes() const { return memory_bytes_; }
  // Begins to count afresh against Limits::edges.
  void StartCounting() { edges_ = 0; }
  // ResourceExhausted: a limit was met; answers since then are wrong.
  const absl::Status& status() const { return status_; }
  // The same, and goes on as if none had been met. What still comes from those answers is wrong.
  absl::Status TakeStatus() { return std::exchange(status_, absl::OkStatus()); }

  // Forgets everything except the configurations that `live` point at, and renumbers those.
  void Compact(absl::Span<Id* const> live);

 private:
  using FrameId = uint32_t;
  using Key = std::vector<uint64_t>;  // packed pairs (state, frame), sorted
  static constexpr uint32_t kNoRow = ~0u;
  static constexpr Id kUnknown = ~0u;

  struct Frame {
    const Key* returns;
    // The root's caller is among the pairs, so that the text can end behind this rule
    bool accepts;
    int32_t bytes_to_end;
  };
  struct Config {
    const Key* threads;
    bool accepts;
    int32_t bytes_to_end;
  };
  struct Call {
    Key returns;
    bool accepts = false;
    int32_t rule = -1;
  };
  // Keyed by pairs and by whether the text can end there.
  using Map = absl::node_hash_map<std::pair<Key, bool>, uint32_t>;

  static uint64_t Pack(Automaton::State state, FrameId frame) {
    return uint64_t{state} << 32 | frame;
  }

  Id NextOnClass(Id id, uint16_t input_class) {
    if (rows_[id] == kNoRow) AddRow(id);
    const Id next = next_[rows_[id] + input_class];
    return next != kUnknown ? next : Follow(id, input_class);
  }
  void Clear();
  void AddRow(Id id);
  // Returns what follows `id` on a class of bytes or tokens, and notes it for all classes that lead
  // to the same threads.
  Id Follow(Id id, uint16_t input_class);
  // Returns the configuration of threads that have just come to `seeds`.
  Id Close(absl::Span<const uint64_t> seeds);
  void AddCalls(Automaton::State state, FrameId frame);
  // Drops threads that another thread makes needless: those further on in the same repetition, with
  // the same way back.
  void DropFurtherTimes(Key* threads);
  void Fail(absl::string_view what, int64_t limit);
  FrameId InternFrame(Key returns, bool accepts);
  Id InternConfig(Key threads, bool accepts);
  int32_t BytesToEnd(const Key& pairs, bool accepts) const;

  const Automaton* const automaton_;
  const std::vector<int32_t> to_end_;
  const Limits limits_;
  absl::Status status_;
  Id start_ = kDead;
  Map frame_ids_, config_ids_;
  std::vector<Frame> frames_;
  std::vector<Config> configs_;
  // [configurations]: where the configuration's classes begin in next_
  std::vector<uint32_t> rows_;
  std::vector<Id> next_;  // kUnknown until asked for
  int64_t memory_bytes_ = 0;
  int64_t edges_ = 0;
  // Scratch of Follow and Close.
  absl::flat_hash_set<uint64_t> seen_, repetitions_;
  std::vector<uint64_t> open_;
  std::map<int32_t, Call> calls_;  // by rank
  Key seeds_;
};

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_CONFIGURATIONS_H_
