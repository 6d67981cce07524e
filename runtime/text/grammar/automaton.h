// A grammar as automata over bytes: each rule is an automaton, whose edges are ranges of bytes,
// tokens, and calls of rules.
//
// This is a recursive transition network (Woods 1970). Compile() works out what following it byte
// by byte needs: which rules match nothing, in which order rules that begin at one place are
// entered, and how many bytes are missing from each state to the end of its rule.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_AUTOMATON_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_AUTOMATON_H_

#include <array>
#include <bitset>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/text/grammar/grammar.h"
#include "runtime/text/grammar/limits.h"

namespace sluice::grammar {

// Never changes after Compile; any thread may read it.
class Automaton {
 public:
  using State = uint32_t;
  // A number of bytes that means "never"; no text is that long.
  static constexpr int32_t kNever = 1 << 30;

  // Edges on bytes carry classes: a class is a set of bytes that no edge tells apart. The classes
  // of bytes are followed by one class for each of Grammar::tokens(); a whole token takes an edge
  // of its class, whatever its bytes are.
  struct ByteEdge {
    uint16_t first_class;
    uint16_t last_class;
    State target;
  };
  struct CallEdge {
    int32_t rule;
    State target;  // the state after the rule's end
  };
  struct Rule {
    State start = 0;
    // A rule that another rule begins with, with nothing before it, has the larger rank.
    int32_t rank = 0;
    std::string name = {};
  };

  // InvalidArgument: left recursion, with the names of the rules (a rule that reaches itself before
  // any byte would never end), or a grammar that matches no text at all. ResourceExhausted: a
  // limit.
  static absl::StatusOr<Automaton> Compile(const Grammar& grammar, const Limits& limits = {});

  absl::Span<const ByteEdge> bytes(State s) const { return Slice(byte_edges_, byte_begin_, s); }
  absl::Span<const CallEdge> calls(State s) const { return Slice(call_edges_, call_begin_, s); }
  absl::Span<const State> empties(State s) const { return Slice(empty_edges_, empty_begin_, s); }
  bool is_end(State s) const { return is_end_[s]; }
  // Returns whether only the rule's end follows `s`: a call that returns to `s` needs no frame.
  bool only_end(State s) const { return only_end_[s]; }
  // Returns a number that is the same for all states between the optional times of one repetition,
  // and 0 for other states. Of two such states, the smaller one has more times left. Everything
  // that may follow the larger one may then follow the smaller one, and neither is nearer the end.
  uint32_t repetition(State s) const { return repetition_[s]; }

  const std::vector<Rule>& rules() const { return rules_; }
  int32_t root() const { return root_; }
  int64_t num_states() const { return static_cast<int64_t>(is_end_.size()); }
  int num_classes() const { return num_byte_classes_ + num_tokens_; }
  // The number of Grammar::tokens(), and the class of one of them.
  int num_tokens() const { return num_tokens_; }
  uint16_t class_of_token(int token) const {
    return static_cast<uint16_t>(num_byte_classes_ + token);
  }
  uint8_t class_of(uint8_t byte) const { return class_of_[byte]; }

  // Returns for each state the fewest bytes in `usable` to the end of its rule; a token that is
  // named counts as a byte. kNever: there is no way.
  std::vector<int32_t> BytesToEnd(const std::bitset<256>& usable) const;

  int64_t MemoryBytes() const;

 private:
  friend class AutomatonBuilder;

  template <typename T>
  static absl::Span<const T> Slice(const std::vector<T>& edges, const std::vector<uint32_t>& begin,
                                   State s) {
    return absl::MakeConstSpan(edges).subspan(begin[s], begin[s + 1] - begin[s]);
  }

  // Edges of all states in order; those of state s are [begin[s], begin[s + 1]).
  std::vector<ByteEdge> byte_edges_;
  std::vector<CallEdge> call_edges_;
  std::vector<State> empty_edges_;
  std::vector<uint32_t> byte_begin_, call_begin_, empty_begin_;
  std::vector<bool> is_end_, only_end_;
  std::vector<uint32_t> repetition_;
  std::vector<Rule> rules_;
  int32_t root_ = 0;
  int num_byte_classes_ = 0;
  int num_tokens_ = 0;
  std::array<uint8_t, 256> class_of_ = {};
};

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_AUTOMATON_H_
