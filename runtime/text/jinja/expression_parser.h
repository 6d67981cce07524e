// Parses expressions, with Jinja's precedences.
//
// From the loosest to the tightest: `a if b else c`, or, and, not, comparisons (chained, with in),
// + and -, ~, * / // %, **, unary + and -, then calls, subscripts, filters and tests.
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
  // Nodes are added to `ast`. Brackets may nest `max_depth` deep.
  ExpressionParser(TokenStream* tokens, Ast* ast, int max_depth)
      : tokens_(*tokens), ast_(*ast), max_depth_(max_depth) {}

  ExpressionOr ParseExpression();
  // Parses an expression, or several with commas between them: a tuple. Without `with_conditional`,
  // an `if` is not consumed.
  ExpressionOr ParseTuple(bool with_conditional = true);
  // Parses the target of set and for: a name, names with commas between them, and for set also
  // attributes of namespaces.
  ExpressionOr ParseTarget(bool with_namespace);
  // Parses `| name(...) | name` applied to `input`, which is null for blocks; with `is_inline` the
  // first filter has no bar. Returns `input` if there is no filter.
  ExpressionOr ParseFilters(const Expression* input, bool is_inline = false);

  // Enters a level of nesting; statements share the levels. ResourceExhausted: too many.
  absl::Status Enter();
  void Leave() { --depth_; }

  // The macros whose bodies are being parsed, to note the special names that they mention.
  std::vector<MacroSignature*>& open_macros() { return open_macros_; }
  // The same for loops.
  std::vector<Statement*>& open_loops() { return open_loops_; }

  // An unknown filter or test is an error, unless a condition decides whether it is reached: take a
  // mark before such a part, and all that comes after the mark is pardoned.
  size_t MarkUnknown() const { return unknown_.size(); }
  void PardonUnknownSince(size_t mark) { unknown_.resize(mark); }
  // Reports unknown names since `mark`, which will not be pardoned any more.
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
  // Parses a.b.c, the name of a filter or test.
  absl::StatusOr<std::string> ParseDottedName();

  TokenStream& tokens_;
  Ast& ast_;
  const int max_depth_;
  int depth_ = 0;
  std::vector<MacroSignature*> open_macros_;
  std::vector<Statement*> open_loops_;
  std::vector<Unknown> unknown_;
};

// Leaves, when destroyed, the level of nesting that was entered.
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
