// A context-free grammar as it is written: rules of expressions over code points and tokens.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_GRAMMAR_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_GRAMMAR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice::grammar {

// An inclusive range of code points. Surrogates may lie inside; they match nothing.
struct CodePointRange {
  uint32_t first;
  uint32_t last;
};

inline constexpr uint32_t kMaxCodePoint = 0x10FFFF;

// Sorts ranges and joins those that overlap or touch.
std::vector<CodePointRange> NormalizedRanges(std::vector<CodePointRange> ranges);
// Returns the ranges of all other code points. `ranges` must be normalized.
std::vector<CodePointRange> ComplementRanges(const std::vector<CodePointRange>& ranges);

// GBNF and JSON schemas are both turned into a Grammar. An expression is made once and may be used
// in several places. It holds only earlier expressions, so that cycles go only through rules.
class Grammar {
 public:
  using ExprId = int32_t;
  using RuleId = int32_t;
  static constexpr int32_t kUnlimited = -1;

  enum class Kind : uint8_t { kText, kClass, kSequence, kChoice, kRepeat, kRule, kToken };
  struct Expr {
    Kind kind;
    std::string text = {};                    // kText: bytes
    std::vector<CodePointRange> ranges = {};  // kClass: normalized; none matches nothing
    std::vector<ExprId> parts = {};           // kSequence, kChoice; kRepeat: one
    int32_t min = 0, max = 0;                 // kRepeat; max may be kUnlimited
    RuleId rule = -1;                         // kRule
    int32_t token = -1;                       // kToken: index into tokens()
  };
  // One token of the model, or, with `negated`, any one token but this.
  struct Token {
    std::string text;  // as the vocabulary spells it; empty: the id names it
    int32_t id = -1;   // below 0: not looked up yet
    bool negated = false;
  };
  struct Rule {
    std::string name;
    ExprId body = -1;  // -1: not defined yet
  };

  ExprId Text(absl::string_view bytes);
  // Matches any of `texts`. Common beginnings are shared, so that there is only one way to follow
  // at a time.
  ExprId AnyText(std::vector<std::string> texts);
  ExprId Class(std::vector<CodePointRange> ranges);
  ExprId Sequence(std::vector<ExprId> parts);  // of no parts: the empty text
  ExprId Choice(std::vector<ExprId> parts);    // of no parts: matches nothing at all
  ExprId Repeat(ExprId part, int32_t min, int32_t max);
  ExprId Optional(ExprId part) { return Repeat(part, 0, 1); }
  ExprId Use(RuleId rule);
  ExprId OneToken(Token token);

  // Adds a rule that is to be defined later.
  RuleId AddRule(absl::string_view name);
  void Define(RuleId rule, ExprId body) { rules_[rule].body = body; }

  const Expr& expr(ExprId id) const { return exprs_[id]; }
  const std::vector<Rule>& rules() const { return rules_; }
  // Each token stands here once.
  const std::vector<Token>& tokens() const { return tokens_; }
  void SetTokenId(int32_t token, int32_t id) { tokens_[token].id = id; }
  int64_t num_exprs() const { return static_cast<int64_t>(exprs_.size()); }
  RuleId root() const { return root_; }
  void set_root(RuleId root) { root_ = root; }

 private:
  ExprId Add(Expr expr);
  // Matches any of sorted, different texts without their first `at` bytes, which are the same in
  // all.
  ExprId AnyRest(absl::Span<const std::string> texts, size_t at);

  std::vector<Expr> exprs_;
  std::vector<Rule> rules_;
  std::vector<Token> tokens_;
  RuleId root_ = -1;
};

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_GRAMMAR_H_
