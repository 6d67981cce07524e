// From a text to a grammar to a constraint.
#include "runtime/constrain/constraints.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "kernels/base/status_macros.h"
#include "runtime/text/grammar/automaton.h"
#include "runtime/text/grammar/gbnf.h"
#include "runtime/text/grammar/json_schema.h"

namespace sluice {
namespace {

constexpr size_t kMostKnown = 4;

grammar::Limits LimitsFor(int64_t vocab_size) {
  grammar::Limits limits;
  limits.cache_bytes = std::clamp<int64_t>(128 * vocab_size, int64_t{2} << 20, int64_t{16} << 20);
  limits.memory_bytes = 4 * limits.cache_bytes;
  return limits;
}

absl::StatusOr<grammar::Grammar> Parse(const GrammarText& text) {
  switch (text.kind) {
    case GrammarKind::kJsonObject:
      return grammar::JsonObjectGrammar();
    case GrammarKind::kJsonSchema:
      return grammar::GrammarFromJsonSchema(text.text);
    case GrammarKind::kGbnf:
      return grammar::ParseGbnf(text.text);
  }
  return absl::InternalError("unknown kind of grammar");
}

// The token that `text` is, by its spelling or because it is written as just one.
std::optional<int32_t> OneToken(const Tokenizer& tokenizer, const std::string& text) {
  if (const std::optional<int32_t> id = tokenizer.TokenId(text); id.has_value()) return id;
  const absl::StatusOr<std::vector<int32_t>> ids =
      tokenizer.Encode(text, {.add_special_tokens = false});
  if (!ids.ok() || ids->size() != 1) return std::nullopt;
  return ids->front();
}

}  // namespace

absl::StatusOr<int64_t> CheckGrammar(const GrammarText& text) {
  SLUICE_ASSIGN_OR_RETURN(const grammar::Grammar grammar, Parse(text));
  SLUICE_ASSIGN_OR_RETURN(const grammar::Automaton automaton, grammar::Automaton::Compile(grammar));
  return automaton.MemoryBytes();
}

Constraints::Constraints(const Tokenizer* tokenizer, int64_t vocab_size,
                         const std::vector<int64_t>& eos_token_ids)
    : tokenizer_(tokenizer),
      vocab_size_(vocab_size),
      end_ids_(eos_token_ids.begin(), eos_token_ids.end()) {}

int64_t Constraints::MemoryBytes(int64_t vocab_size, int64_t grammars, int64_t grammar_bytes) {
  // The tries and, while they are made, the tokens' bytes; grammars that fill their share, and
  // those that are kept.
  const int64_t kept = grammars == 1 ? 1 : static_cast<int64_t>(kMostKnown);
  return 160 * vocab_size + (grammars + kept) * (LimitsFor(vocab_size).cache_bytes + grammar_bytes);
}

bool Constraints::Knows(const GrammarText& text) const {
  return std::any_of(known_.begin(), known_.end(), [&](const Known& known) {
    return known.text.kind == text.kind && known.text.text == text.text;
  });
}

absl::StatusOr<std::shared_ptr<grammar::Constraint>> Constraints::For(const GrammarText& text) {
  const auto found = std::find_if(known_.begin(), known_.end(), [&](const Known& known) {
    return known.text.kind == text.kind && known.text.text == text.text;
  });
  if (found != known_.end()) {
    known_.splice(known_.begin(), known_, found);
    return found->constraint;
  }
  SLUICE_ASSIGN_OR_RETURN(grammar::Grammar grammar, Parse(text));
  if (vocabulary_ == nullptr) {
    if (tokenizer_ == nullptr) {
      return absl::FailedPreconditionError(
          "this model has no tokenizer: a grammar needs the texts of its tokens");
    }
    SLUICE_ASSIGN_OR_RETURN(const std::vector<std::string> tokens, tokenizer_->TokenBytes());
    vocabulary_ = std::make_shared<grammar::Vocabulary>(tokens, vocab_size_, end_ids_);
  }
  for (size_t i = 0; i < grammar.tokens().size(); ++i) {
    const std::string& name = grammar.tokens()[i].text;
    if (name.empty()) continue;
    const std::optional<int32_t> id = OneToken(*tokenizer_, name);
    if (id.has_value()) grammar.SetTokenId(static_cast<int32_t>(i), *id);
  }
  SLUICE_ASSIGN_OR_RETURN(
      std::shared_ptr<grammar::Constraint> constraint,
      grammar::Constraint::Create(grammar, vocabulary_, LimitsFor(vocab_size_)));
  if (known_.size() == kMostKnown) known_.pop_back();
  known_.push_front({text, constraint});
  return constraint;
}

}  // namespace sluice
