// Grammars over a model's vocabulary.
#ifndef SLUICE_RUNTIME_CONSTRAIN_CONSTRAINTS_H_
#define SLUICE_RUNTIME_CONSTRAIN_CONSTRAINTS_H_

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/constrain/grammar_text.h"
#include "runtime/text/grammar/constraint.h"
#include "runtime/text/tokenizer/tokenizer.h"

namespace sluice {

// Compiles it and returns what a budget should set aside for that (Constraints::MemoryBytes).
// Errors of ParseGbnf, GrammarFromJsonSchema and Automaton::Compile.
absl::StatusOr<int64_t> CheckGrammar(const GrammarText& text);

// Makes the vocabulary's tries when they are first needed, and keeps the last few grammars, so that
// many requests with one schema share what was found out about it. For one thread at a time.
class Constraints {
 public:
  // `tokenizer` must outlive it and may be null. `vocab_size` is that of the logits.
  Constraints(const Tokenizer* tokenizer, int64_t vocab_size,
              const std::vector<int64_t>& eos_token_ids);

  // Errors of CheckGrammar; InvalidArgument: a token that the grammar names is none of this
  // model's, or ends a text; FailedPrecondition: there is no tokenizer, or one whose tokens have no
  // bytes of their own.
  absl::StatusOr<std::shared_ptr<grammar::Constraint>> For(const GrammarText& text);

  // Whether For() finds it without compiling it.
  bool Knows(const GrammarText& text) const;

  // What a budget should set aside for it, if `grammars` (1 or more) different ones are followed at
  // once, the largest of which takes what CheckGrammar said.
  static int64_t MemoryBytes(int64_t vocab_size, int64_t grammars, int64_t grammar_bytes);

 private:
  struct Known {
    GrammarText text;
    std::shared_ptr<grammar::Constraint> constraint;
  };

  const Tokenizer* const tokenizer_;
  const int64_t vocab_size_;
  const std::vector<int32_t> end_ids_;
  std::shared_ptr<const grammar::Vocabulary> vocabulary_;
  std::list<Known> known_;  // the last one used comes first; kMostKnown of them
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CONSTRAIN_CONSTRAINTS_H_
