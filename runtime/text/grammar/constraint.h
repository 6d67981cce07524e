// Finds the tokens that may come next, so that a text stays inside a grammar and can be finished in
// time.
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

// A grammar over a vocabulary, and everything that was found out about the two. Any number of texts
// may follow it, each with a Matcher. One thread at a time uses the constraint and its matchers.
class Constraint {
 public:
  // InvalidArgument: names a token of the grammar that has no id yet, is outside the vocabulary, or
  // ends a text. Errors of Automaton::Compile.
  static absl::StatusOr<std::shared_ptr<Constraint>> Create(
      const Grammar& grammar, std::shared_ptr<const Vocabulary> vocabulary,
      const Limits& limits = {});

  const Vocabulary& vocabulary() const { return *vocabulary_; }
  // Returns how many tokens suffice for some text of this grammar, with its end token.
  // Automaton::kNever: unknown, as the vocabulary lacks tokens of single bytes.
  int32_t tokens_to_finish() const { return TokensToFinish(configurations_.start()); }
  int64_t MemoryBytes() const;

 private:
  friend class Matcher;
  using Id = Configurations::Id;

  // The tokens that may follow a configuration, and the tokens that the costliest of them needs to
  // be finished.
  struct Allowed {
    int64_t num_ids = 0;
    int32_t most_to_finish = 0;
    int32_t fewest_to_finish = Automaton::kNever;  // a lower bound for tokens that were left out
    std::vector<int32_t> ids;                      // the tokens, if they are few,
    std::vector<uint64_t> words;                   // else a mask
  };
  // The configurations that follow on a plain character.
  struct PlainStep {
    bool all = true;       // no plain character is refused
    std::vector<Id> next;  // the configurations that they lead to
  };
  struct PlainLevels {
    int all = 0;  // any n plain characters may follow, for n up to this
    int any = 0;  // some n plain characters may follow, for n up to this
    // Upper bounds of the tokens that are needed after n plain characters, n from 1 to `all`.
    std::vector<int32_t> most_to_finish;
    // Lower bounds of the tokens that are needed after n plain characters, n from 1 to `any`.
    std::vector<int32_t> fewest_to_finish;
  };

  Constraint(Automaton automaton, std::vector<Grammar::Token> tokens,
             std::shared_ptr<const Vocabulary> vocabulary, const Limits& limits);

  static std::vector<int32_t> Costs(const Automaton& automaton, const Vocabulary& vocabulary);
  // Returns the tokens from here to the end: one a byte, and an end token unless the text must end
  // by itself.
  int32_t TokensToFinish(Id id) const {
    return configurations_.at_end(id)
               ? 0
               : std::min(configurations_.bytes_to_end(id) + 1, Automaton::kNever);
  }
  // Finds the allowed tokens after which `limit` tokens suffice.
  absl::StatusOr<Allowed> FindAllowed(Id id, int32_t limit);
  void Walk(const TokenTrie& trie, Id id, int32_t limit, Allowed* found);
  // Adds tokens that the grammar names.
  void AddNamed(Id id, int32_t limit, Allowed* found);
  // Returns the configuration after a token: by its bytes, by its name, or by both.
  Id AfterToken(Id id, int32_t token);
  absl::StatusOr<const Allowed*> AllowedAt(Id id);
  const PlainStep& StepPlain(Id id);
  const PlainLevels& PlainLevelsOf(Id id);
  PlainLevels FindPlainLevels(Id id);
  void ForgetIfLarge();
  // Forgets all but where the matchers are.
  void Forget();
  // Returns the error of a limit that was met since the last call. What was found out meanwhile may
  // be wrong, and is forgotten.
  absl::Status TakeError();

  const Automaton automaton_;
  const std::vector<Grammar::Token> tokens_;  // the tokens that the grammar names
  const std::shared_ptr<const Vocabulary> vocabulary_;
  const Limits limits_;
  Configurations configurations_;
  std::vector<std::unique_ptr<Allowed>> allowed_;           // by configuration
  std::vector<std::unique_ptr<PlainStep>> plain_steps_;     // by configuration
  std::vector<std::unique_ptr<PlainLevels>> plain_levels_;  // by configuration
  int64_t cached_bytes_ = 0;                                // of the three above
  std::list<Id> live_;                                      // the configurations of the matchers
};

// Follows one text. Shares the constraint's ownership.
class Matcher {
 public:
  explicit Matcher(std::shared_ptr<Constraint> constraint);
  ~Matcher();
  Matcher(Matcher&& other) noexcept;
  // Follows another text, which has come as far as that of `other`.
  Matcher(const Matcher& other);
  Matcher& operator=(Matcher&&) = delete;

  const Vocabulary& vocabulary() const { return constraint_->vocabulary(); }

  // Sets `mask` to the tokens that may come next if at most `tokens_left` tokens follow, with this
  // one (below 0: no limit). End tokens are in the mask exactly where the text can end. As long as
  // the limit suffices for some text, it suffices after each token of the mask. If it does not, the
  // mask has only the tokens that need the fewest. FailedPrecondition: no token fits.
  // ResourceExhausted: a limit; this text then stays where it is, and others of the constraint go
  // on.
  absl::Status Mask(int64_t tokens_left, TokenMask* mask);

  // Takes a token that was chosen. InvalidArgument: it does not fit. ResourceExhausted: as Mask's.
  absl::Status Accept(int32_t token);

  // Returns whether the text can end here.
  bool can_end() const { return constraint_->configurations_.accepts(*at_); }
  // Returns whether no other token is needed: only the end can follow, or an end token was
  // accepted.
  bool finished() const { return ended_ || constraint_->configurations_.at_end(*at_); }

 private:
  std::shared_ptr<Constraint> constraint_;
  std::list<Constraint::Id>::iterator at_;
  bool ended_ = false;
};

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_CONSTRAINT_H_
