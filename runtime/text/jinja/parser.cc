// Parses statements; expression_parser.cc parses the expressions in them.
#include "runtime/text/jinja/parser.h"

#include <initializer_list>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "runtime/text/jinja/expression_parser.h"
#include "runtime/text/jinja/lexer.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/text.h"
#include "runtime/text/jinja/token_stream.h"

namespace sluice::jinja {
namespace {

using Names = std::initializer_list<absl::string_view>;
using StatementOr = absl::StatusOr<const Statement*>;

class StatementParser {
 public:
  StatementParser(TokenStream* tokens, Ast* ast, int max_depth)
      : tokens_(*tokens), ast_(*ast), expressions_(tokens, ast, max_depth) {}

  absl::Status ParseAll() {
    JINJA_ASSIGN_OR_RETURN(ast_.body, ParseBody({}));
    return expressions_.CheckUnknownSince(0);
  }

 private:
  Statement* Make(StatementType type) {
    ast_.statements.push_back({.type = type, .offset = tokens_.current().offset});
    return &ast_.statements.back();
  }

  bool IsAnyName(Names names) const {
    for (const absl::string_view name : names) {
      if (tokens_.IsName(name)) return true;
    }
    return false;
  }

  // Parses up to a tag with one of these names, and stops at the name; if there are no names, up to
  // the end of the template.
  absl::StatusOr<Body> ParseBody(Names ends) {
    const NestingGuard deeper(&expressions_);
    JINJA_RETURN_IF_ERROR(deeper.status());
    Body body;
    for (;;) {
      if (tokens_.Is(TokenType::kEnd)) {
        if (ends.size() == 0) return body;
        return tokens_.Unexpected(absl::StrCat("{% ", absl::StrJoin(ends, " %} or {% "), " %}"));
      }
      if (tokens_.Is(TokenType::kText)) {
        Statement* const text = Make(StatementType::kText);
        text->text = tokens_.current().text;
        tokens_.Advance();
        body.push_back(text);
      } else if (tokens_.Is(TokenType::kVariableBegin)) {
        tokens_.Advance();
        Statement* const print = Make(StatementType::kPrint);
        JINJA_ASSIGN_OR_RETURN(print->value, expressions_.ParseTuple());
        JINJA_RETURN_IF_ERROR(tokens_.Expect(TokenType::kVariableEnd));
        body.push_back(print);
      } else {
        JINJA_RETURN_IF_ERROR(tokens_.Expect(TokenType::kBlockBegin));
        if (IsAnyName(ends)) return body;
        JINJA_ASSIGN_OR_RETURN(const Statement* const statement, ParseStatement(ends));
        JINJA_RETURN_IF_ERROR(tokens_.Expect(TokenType::kBlockEnd));
        body.push_back(statement);
      }
    }
  }

  // Parses the rest of an opening tag, and the body up to one of `ends`.
  absl::StatusOr<Body> ParseBlock(Names ends) {
    tokens_.SkipOperator(":");
    JINJA_RETURN_IF_ERROR(tokens_.Expect(TokenType::kBlockEnd));
    return ParseBody(ends);
  }

  // Does the same up to one `end`, which is taken.
  absl::StatusOr<Body> ParseWholeBlock(absl::string_view end) {
    JINJA_ASSIGN_OR_RETURN(Body body, ParseBlock({end}));
    tokens_.Advance();
    return body;
  }

  StatementOr ParseStatement(Names ends) {
    static constexpr struct {
      absl::string_view name;
      StatementOr (StatementParser::*parse)();
    } kTags[] = {{"if", &StatementParser::ParseIf},
                 {"for", &StatementParser::ParseFor},
                 {"set", &StatementParser::ParseSet},
                 {"macro", &StatementParser::ParseMacro},
                 {"call", &StatementParser::ParseCallBlock},
                 {"filter", &StatementParser::ParseFilterBlock},
                 {"with", &StatementParser::ParseWith},
                 {"print", &StatementParser::ParsePrint},
                 {"generation", &StatementParser::ParseGeneration},
                 {"break", &StatementParser::ParseBreak},
                 {"continue", &StatementParser::ParseContinue}};
    if (!tokens_.Is(TokenType::kName)) return tokens_.Unexpected("the name of a tag");
    for (const auto& tag : kTags) {
      if (tokens_.IsName(tag.name)) return (this->*tag.parse)();
    }
    const std::string name = tokens_.current().text.substr(0, 40);
    for (const absl::string_view other :
         {"extends", "block", "include", "import", "from", "autoescape"}) {
      if (name == other) {
        return tokens_.Fail(absl::StrCat("the tag '", name,
                                         "' has no use in a chat template and "
                                         "is not supported"));
      }
    }
    const std::string expected =
        ends.size() == 0 ? "" : absl::StrCat(", expected ", absl::StrJoin(ends, " or "));
    return tokens_.Fail(absl::StrCat("there is no tag named '", name, "'", expected));
  }

  StatementOr ParseIf() {
    Statement* const node = Make(StatementType::kIf);
    const size_t mark = expressions_.MarkUnknown();
    do {
      tokens_.Advance();
      Branch branch;
      JINJA_ASSIGN_OR_RETURN(branch.condition, expressions_.ParseTuple(/*with_conditional=*/false));
      JINJA_ASSIGN_OR_RETURN(branch.body, ParseBlock({"elif", "else", "endif"}));
      node->branches.push_back(std::move(branch));
    } while (tokens_.IsName("elif"));
    if (tokens_.SkipName("else")) {
      JINJA_ASSIGN_OR_RETURN(node->otherwise, ParseBlock({"endif"}));
    }
    tokens_.Advance();
    expressions_.PardonUnknownSince(mark);
    return node;
  }

  StatementOr ParseFor() {
    Statement* const node = Make(StatementType::kFor);
    const size_t mark = expressions_.MarkUnknown();
    tokens_.Advance();
    JINJA_ASSIGN_OR_RETURN(node->target, expressions_.ParseTarget(/*with_namespace=*/false));
    JINJA_RETURN_IF_ERROR(tokens_.ExpectName("in"));
    JINJA_ASSIGN_OR_RETURN(node->value, expressions_.ParseTuple(/*with_conditional=*/false));
    if (tokens_.SkipName("if")) {
      JINJA_ASSIGN_OR_RETURN(node->condition, expressions_.ParseExpression());
    }
    node->recursive = tokens_.SkipName("recursive");
    ++loops_;
    expressions_.open_loops().push_back(node);
    JINJA_ASSIGN_OR_RETURN(node->body, ParseBlock({"endfor", "else"}));
    expressions_.open_loops().pop_back();
    --loops_;
    if (tokens_.SkipName("else")) {
      JINJA_ASSIGN_OR_RETURN(node->otherwise, ParseBlock({"endfor"}));
    }
    tokens_.Advance();
    JINJA_RETURN_IF_ERROR(expressions_.CheckUnknownSince(mark));
    return node;
  }

  StatementOr ParseSet() {
    Statement* const node = Make(StatementType::kSet);
    tokens_.Advance();
    JINJA_ASSIGN_OR_RETURN(node->target, expressions_.ParseTarget(/*with_namespace=*/true));
    if (tokens_.SkipOperator("=")) {
      JINJA_ASSIGN_OR_RETURN(node->value, expressions_.ParseTuple());
      return node;
    }
    node->type = StatementType::kSetBlock;
    JINJA_ASSIGN_OR_RETURN(node->value, expressions_.ParseFilters(nullptr));
    JINJA_ASSIGN_OR_RETURN(node->body, ParseWholeBlock("endset"));
    return node;
  }

  absl::Status ParseSignature(MacroSignature* signature) {
    JINJA_RETURN_IF_ERROR(tokens_.ExpectOperator("("));
    while (!tokens_.IsOperator(")")) {
      if (!signature->parameters.empty()) JINJA_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      const bool after_default =
          !signature->parameters.empty() && signature->parameters.back().otherwise != nullptr;
      Parameter parameter;
      JINJA_ASSIGN_OR_RETURN(parameter.name, tokens_.TakeName());
      if (tokens_.SkipOperator("=")) {
        JINJA_ASSIGN_OR_RETURN(parameter.otherwise, expressions_.ParseExpression());
      } else if (after_default) {
        return tokens_.Unexpected("'=', as the parameter before has a default");
      }
      signature->parameters.push_back(std::move(parameter));
    }
    tokens_.Advance();
    return absl::OkStatus();
  }

  // The body of a macro or of a call, in which loops outside cannot be left.
  absl::Status ParseMacroBody(Statement* node, absl::string_view end) {
    const size_t mark = expressions_.MarkUnknown();
    expressions_.open_macros().push_back(&node->signature);
    const int loops = std::exchange(loops_, 0);
    JINJA_ASSIGN_OR_RETURN(node->body, ParseWholeBlock(end));
    loops_ = loops;
    expressions_.open_macros().pop_back();
    return expressions_.CheckUnknownSince(mark);
  }

  StatementOr ParseMacro() {
    Statement* const node = Make(StatementType::kMacro);
    tokens_.Advance();
    JINJA_ASSIGN_OR_RETURN(node->signature.name, tokens_.TakeName());
    JINJA_RETURN_IF_ERROR(ParseSignature(&node->signature));
    JINJA_RETURN_IF_ERROR(ParseMacroBody(node, "endmacro"));
    return node;
  }

  StatementOr ParseCallBlock() {
    Statement* const node = Make(StatementType::kCallBlock);
    tokens_.Advance();
    node->signature.name = "caller";
    if (tokens_.IsOperator("(")) JINJA_RETURN_IF_ERROR(ParseSignature(&node->signature));
    const size_t offset = tokens_.current().offset;
    JINJA_ASSIGN_OR_RETURN(node->value, expressions_.ParseExpression());
    if (node->value->type != ExpressionType::kCall) {
      return tokens_.FailAt(offset, "{% call %} needs a call such as name(...)");
    }
    JINJA_RETURN_IF_ERROR(ParseMacroBody(node, "endcall"));
    return node;
  }

  StatementOr ParseFilterBlock() {
    Statement* const node = Make(StatementType::kFilterBlock);
    tokens_.Advance();
    JINJA_ASSIGN_OR_RETURN(node->value, expressions_.ParseFilters(nullptr, /*is_inline=*/true));
    JINJA_ASSIGN_OR_RETURN(node->body, ParseWholeBlock("endfilter"));
    return node;
  }

  StatementOr ParseWith() {
    Statement* const node = Make(StatementType::kWith);
    tokens_.Advance();
    while (!tokens_.Is(TokenType::kBlockEnd)) {
      if (!node->assignments.empty()) JINJA_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      JINJA_ASSIGN_OR_RETURN(const Expression* const target, expressions_.ParseTarget(false));
      JINJA_RETURN_IF_ERROR(tokens_.ExpectOperator("="));
      JINJA_ASSIGN_OR_RETURN(const Expression* const value, expressions_.ParseExpression());
      node->assignments.emplace_back(target, value);
    }
    JINJA_ASSIGN_OR_RETURN(node->body, ParseWholeBlock("endwith"));
    return node;
  }

  StatementOr ParsePrint() {
    Statement* const node = Make(StatementType::kScope);
    tokens_.Advance();
    do {
      Statement* const print = Make(StatementType::kPrint);
      JINJA_ASSIGN_OR_RETURN(print->value, expressions_.ParseExpression());
      node->body.push_back(print);
    } while (tokens_.SkipOperator(","));
    return node;
  }

  // Parses a mark around the assistant's words, for training; it prints its body.
  StatementOr ParseGeneration() {
    Statement* const node = Make(StatementType::kScope);
    tokens_.Advance();
    const int loops = std::exchange(loops_, 0);
    JINJA_ASSIGN_OR_RETURN(node->body, ParseWholeBlock("endgeneration"));
    loops_ = loops;
    return node;
  }

  StatementOr ParseBreak() { return ParseLoopControl(StatementType::kBreak); }
  StatementOr ParseContinue() { return ParseLoopControl(StatementType::kContinue); }

  StatementOr ParseLoopControl(StatementType type) {
    if (loops_ == 0) {
      return tokens_.Fail(absl::StrCat("'", tokens_.current().text, "' is outside of a loop"));
    }
    Statement* const node = Make(type);
    tokens_.Advance();
    return node;
  }

  TokenStream& tokens_;
  Ast& ast_;
  ExpressionParser expressions_;
  int loops_ = 0;  // that break and continue could belong to
};

}  // namespace

absl::StatusOr<std::unique_ptr<const Ast>> ParseTemplate(absl::string_view source,
                                                         const Limits& limits) {
  if (static_cast<int64_t>(source.size()) > limits.source_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("the template has ", source.size(),
                                                     " bytes, more than ", limits.source_bytes));
  }
  if (!IsValidUtf8(source)) return absl::InvalidArgumentError("the template is not UTF-8");
  auto ast = std::make_unique<Ast>();
  ast->source = NormalizeSource(source);
  JINJA_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(ast->source));
  TokenStream stream(std::move(tokens), ast->source);
  JINJA_RETURN_IF_ERROR(StatementParser(&stream, ast.get(), limits.depth).ParseAll());
  return ast;
}

}  // namespace sluice::jinja
