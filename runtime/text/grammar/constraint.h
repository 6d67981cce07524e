// Which tokens may come next, so that a text stays inside a grammar and can be finished in time.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_CONSTRAINT_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_CONSTRAINT_H_

#include <algorithm>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "runtime/text/grammar/automaton.h"
#include "runtime/text/grammar/configurations.h"
#include "runtime/text/grammar/grammar.h"
#include "runtime/text/grammar/limits.h"
#include "runtime/text/grammar/vocabulary.h"

namespace sluice::grammar {

// A bit a token id, low bits first: [Vocabulary::num_words].
using TokenMask = std::vector<uint64_t>;
inline bool Allows(absl::Span<const uint64_t> mask, int64_t id) {
  return mask[id / 64] >> (id % 64) & 1;
}

class Matcher;

// A grammar over a vocabulary, with what was found out about the two. Any number of texts may
// follow it, each with a Matcher; they and this are for one thread at a time.
class Constraint {
 public:
  // InvalidArgument: a token of the grammar has no id yet, is outside the vocabulary, or ends a
  // text; it is named. Errors of Automaton::Compile.
  static absl::StatusOr<std::shared_ptr<Constraint>> Create(
      const Grammar& grammar, std::shared_ptr<const Vocabulary> vocabulary,
      const Limits& limits = {});

  const Vocabulary& vocabulary() const { return *vocabulary_; }
  // Tokens that suffice for some text of this grammar, its end among them; Automaton::kNever: no
  // number is known to, as the vocabulary lacks tokens of single bytes.
  int32_t tokens_to_finish() const { return TokensToFinish(configurations_.start()); }
  int64_t MemoryBytes() const;

 private:
  friend class Matcher;
  using Id = Configurations::Id;

  // The tokens that may follow a configuration, and what the costliest of them needs to be
  // finished.
  struct Allowed {
    int64_t num_ids = 0;
    int32_t most_to_finish = 0;
    int32_t fewest_to_finish = Automaton::kNever;  // of tokens that were left out, or less
    std::vector<int32_t> ids;                      // where they are few,
    std::vector<uint64_t> words;                   // else a mask
  };
  // What follows a configuration on plain characters.
  struct PlainStep {
    bool all = true;       // none of them is refused
    std::vector<Id> next;  // what they lead to
  };
  struct PlainLevels {
    int all = 0;  // any n plain characters may follow, for n up to this
    int any = 0;  // some n plain characters may
    // What up to n plain characters lead to needs at most, n from 1 to `all`
    std::vector<int32_t> most_to_finish;
    // What n plain characters lead to needs at least, n from 1 to `any`
    std::vector<int32_t> fewest_to_finish;
  };

  Constraint(Automaton automaton, std::vector<Grammar::Token> tokens,
             std::shared_ptr<const Vocabulary> vocabulary, const Limits& limits);

  static std::vector<int32_t> Costs(const Automaton& automaton, const Vocabulary& vocabulary);
  // Tokens from here to the end: a byte each, and an end token unless the text must end by itself.
  int32_t TokensToFinish(Id id) const {
    return configurations_.at_end(id)
               ? 0
               : std::min(configurations_.bytes_to_end(id) + 1, Automaton::kNever);
  }
  // The allowed tokens that lead to where `limit` tokens suffice.
  absl::StatusOr<Allowed> FindAllowed(Id id, int32_t limit);
  void Walk(const TokenTrie& trie, Id id, int32_t limit, Allowed* found);
  // Tokens that the grammar names.
  void AddNamed(Id id, int32_t limit, Allowed* found);
  // Where a token leads: by its bytes, by its name, or by both.
  Id AfterToken(Id id, int32_t token);
  absl::StatusOr<const Allowed*> AllowedAt(Id id);
  const PlainStep& StepPlain(Id id);
  const PlainLevels& PlainLevelsOf(Id id);
  PlainLevels FindPlainLevels(Id id);
  void ForgetIfLarge();

  const Automaton automaton_;
  const std::vector<Grammar::Token> tokens_;  // that the grammar names
  const std::shared_ptr<const Vocabulary> vocabulary_;
  const Limits limits_;
  Configurations configurations_;
  std::vector<std::unique_ptr<Allowed>> allowed_;           // by configuration
  std::vector<std::unique_ptr<PlainStep>> plain_steps_;     // by configuration
  std::vector<std::unique_ptr<PlainLevels>> plain_levels_;  // by configuration
  int64_t cached_bytes_ = 0;                                // of all three
  std::list<Id> live_;                                      // where the matchers are
};

// One text. Movable; the constraint lives as long as it.
class Matcher {
 public:
  explicit Matcher(std::shared_ptr<Constraint> constraint);
  ~Matcher();
  Matcher(Matcher&& other) noexcept;
  Matcher& operator=(Matcher&&) = delete;

  // Sets `mask` to the tokens that may come next if `tokens_left` tokens at most can, this one
  // among them (below 0: no limit). End tokens are among them just where the text can end. As long
  // as the limit suffices for some text, it suffices for what the mask leaves; where it does not,
  // only ways that need the fewest tokens are left. FailedPrecondition: no token fits.
  // ResourceExhausted: a limit.
  absl::Status Mask(int64_t tokens_left, TokenMask* mask);

  // Takes a token that was chosen. InvalidArgument: it does not fit.
  absl::Status Accept(int32_t token);

  // The text can end here.
  bool can_end() const { return constraint_->configurations_.accepts(*at_); }
  // Nothing but the end can follow, or an end token was accepted: there is no need for another
  // token.
  bool finished() const { return ended_ || constraint_->configurations_.at_end(*at_); }

 private:
  std::shared_ptr<Constraint> constraint_;
  std::list<Constraint::Id>::iterator at_;
  bool ended_ = false;
};

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_CONSTRAINT_H_
