// What an automaton with calls can be doing after some bytes: its configurations, found as they are
// needed.
//
// A thread is a state and a frame: where the text has come to in a rule, and where the rule's end
// leads back to. A frame is a set of (state, frame) pairs, one for each caller at the place where
// the rule was begun, as in the graph-structured stacks of generalized LR parsing (Tomita 1985), so
// that ambiguity costs frames and not copies of stacks. A configuration is the set of threads that
// one text can lead to. Equal frames and configurations are made once and known by number, so what
// was found out about one (what follows on a byte, how far the end is) is looked up ever after: a
// DFA of unlimited size, made lazily.
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

  // `automaton` must outlive it. `to_end` is what Automaton::BytesToEnd gave.
  Configurations(const Automaton* automaton, std::vector<int32_t> to_end, const Limits& limits);

  Id start() const { return start_; }
  Id Next(Id id, uint8_t byte) { return NextOnClass(id, automaton_->class_of(byte)); }
  // Where a token leads that is named as Grammar::tokens()[token], whatever its bytes.
  Id NextOnToken(Id id, int token) { return NextOnClass(id, automaton_->class_of_token(token)); }
  // What a text can be doing that is at either of two places.
  Id Union(Id a, Id b);
  // Whether the text can end here.
  bool accepts(Id id) const { return configs_[id].accepts; }
  // Whether it must.
  bool at_end(Id id) const { return configs_[id].accepts && configs_[id].threads->empty(); }
  // The fewest bytes to where the text can end; Automaton::kNever: it cannot.
  int32_t bytes_to_end(Id id) const { return configs_[id].bytes_to_end; }

  int64_t num_threads(Id id) const { return static_cast<int64_t>(configs_[id].threads->size()); }
  // A configuration of just one of its threads: whatever may follow that may follow `id`.
  Id OnlyThread(Id id, int64_t thread) {
    return InternConfig({(*configs_[id].threads)[thread]}, /*accepts=*/false);
  }

  int64_t size() const { return static_cast<int64_t>(configs_.size()); }
  int64_t MemoryBytes() const { return memory_bytes_; }
  // Begins counting anew what Limits::edges limits.
  void StartCounting() { edges_ = 0; }
  // ResourceExhausted once a limit was met; what was answered since then is wrong.
  const absl::Status& status() const { return status_; }

  // Forgets everything but the configurations that `live` point at, and gives these their new
  // numbers.
  void Compact(absl::Span<Id* const> live);

 private:
  using FrameId = uint32_t;
  using Key = std::vector<uint64_t>;  // packed pairs (state, frame), sorted
  static constexpr uint32_t kNoRow = ~0u;
  static constexpr Id kUnknown = ~0u;

  struct Frame {
    const Key* returns;
    bool accepts;  // the root's caller is among them, so that the text can end behind this rule
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
  // By pairs and whether the text can end there.
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
  // What follows `id` on a class of bytes or tokens, and on all classes beside it that lead to the
  // same threads.
  Id Follow(Id id, uint16_t input_class);
  // The configuration of threads that have just come to `seeds`.
  Id Close(absl::Span<const uint64_t> seeds);
  void AddCalls(Automaton::State state, FrameId frame);
  // Leaves out threads that another one makes needless: further on in the same repetition, with the
  // same way back.
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
  std::vector<uint32_t> rows_;  // of each configuration, where its classes begin in next_
  std::vector<Id> next_;        // kUnknown until it was asked for
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
