// Parses expressions, with Jinja's precedences.
//
// From the loosest: `a if b else c`, or, and, not, comparisons (chained, with in), + and -, ~,
// * / // %, **, unary + and -, then calls, subscripts, filters and tests.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_EXPRESSION_PARSER_H_
#define SLUICE_RUNTIME_TEXT_JINJA_EXPRESSION_PARSER_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/text/jinja/ast.h"
#include "runtime/text/jinja/token_stream.h"

namespace sluice::jinja {

using ExpressionOr = absl::StatusOr<const Expression*>;

class ExpressionParser {
 public:
  // Nodes are added to `ast`. Brackets nest at most `max_depth` deep.
  ExpressionParser(TokenStream* tokens, Ast* ast, int max_depth)
      : tokens_(*tokens), ast_(*ast), max_depth_(max_depth) {}

  ExpressionOr ParseExpression();
  // One expression, or several with commas between them: a tuple. Without `with_conditional`, an
  // `if` is left where it is.
  ExpressionOr ParseTuple(bool with_conditional = true);
  // What set and for assign to: a name, names with commas between them, and for set attributes of
  // namespaces.
  ExpressionOr ParseTarget(bool with_namespace);
  // `| name(...) | name` on `input`, which is null for blocks; with `is_inline` the first comes
  // without a bar. Gives `input` where there are none.
  ExpressionOr ParseFilters(const Expression* input, bool is_inline = false);

  // Levels of nesting, shared with the statements. ResourceExhausted: too many.
  absl::Status Enter();
  void Leave() { --depth_; }

  // Macros whose bodies are being parsed, to note which special names they mention.
  std::vector<MacroSignature*>& open_macros() { return open_macros_; }
  // The same for loops.
  std::vector<Statement*>& open_loops() { return open_loops_; }

  // Filters and tests that are not known are an error, but not where a condition decides whether
  // they are reached: a mark is taken before such a part, and what came after it is pardoned.
  size_t MarkUnknown() const { return unknown_.size(); }
  void PardonUnknownSince(size_t mark) { unknown_.resize(mark); }
  // Those since `mark` will not be pardoned any more.
  absl::Status CheckUnknownSince(size_t mark) const;

 private:
  struct Unknown {
    size_t offset;
    std::string message;
  };

  Expression* Make(ExpressionType type, size_t offset);
  ExpressionOr ParseOr();
  ExpressionOr ParseAnd();
  ExpressionOr ParseNot();
  ExpressionOr ParseCompare();
  ExpressionOr ParseSum();
  ExpressionOr ParseConcat();
  ExpressionOr ParseProduct();
  ExpressionOr ParsePower();
  ExpressionOr ParseUnary(bool with_filters);
  ExpressionOr ParsePrimary();
  ExpressionOr ParseNumber();
  ExpressionOr ParseParentheses();
  ExpressionOr ParseList();
  ExpressionOr ParseDict();
  ExpressionOr ParsePostfix(const Expression* value);
  ExpressionOr ParseFiltersAndTests(const Expression* value);
  ExpressionOr ParseSubscript(const Expression* value);
  ExpressionOr ParseIndexOrSlice(const Expression* value, size_t offset);
  ExpressionOr ParseAttribute(const Expression* value);
  ExpressionOr ParseCall(const Expression* function);
  ExpressionOr ParseTest(const Expression* value);
  ExpressionOr ParseTargetPart(bool with_namespace);
  absl::StatusOr<Arguments> ParseArguments();
  // a.b.c, as filters and tests may be called.
  absl::StatusOr<std::string> ParseDottedName();

  TokenStream& tokens_;
  Ast& ast_;
  const int max_depth_;
  int depth_ = 0;
  std::vector<MacroSignature*> open_macros_;
  std::vector<Statement*> open_loops_;
  std::vector<Unknown> unknown_;
};

// Leaves the level of nesting that was entered.
class NestingGuard {
 public:
  explicit NestingGuard(ExpressionParser* parser) : parser_(*parser), status_(parser->Enter()) {}
  ~NestingGuard() { parser_.Leave(); }
  NestingGuard(const NestingGuard&) = delete;
  NestingGuard& operator=(const NestingGuard&) = delete;
  const absl::Status& status() const { return status_; }

 private:
  ExpressionParser& parser_;
  const absl::Status status_;
};

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_EXPRESSION_PARSER_H_
