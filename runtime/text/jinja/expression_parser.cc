// Has a function for each level of precedence.
#include "runtime/text/jinja/expression_parser.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/builtin.h"
#include "runtime/text/jinja/status_macros.h"

namespace sluice::jinja {
namespace {

struct Symbol {
  absl::string_view text;
  BinaryOperator op;
};
constexpr Symbol kSums[] = {{"+", BinaryOperator::kAdd}, {"-", BinaryOperator::kSub}};
constexpr Symbol kProducts[] = {{"*", BinaryOperator::kMul},
                                {"/", BinaryOperator::kDiv},
                                {"//", BinaryOperator::kFloorDiv},
                                {"%", BinaryOperator::kMod}};

std::optional<BinaryOperator> FindOperator(const TokenStream& tokens,
                                           absl::Span<const Symbol> symbols) {
  for (const Symbol& symbol : symbols) {
    if (tokens.IsOperator(symbol.text)) return symbol.op;
  }
  return std::nullopt;
}

std::optional<CompareOperator> FindCompare(const TokenStream& tokens) {
  static constexpr struct {
    absl::string_view text;
    CompareOperator op;
  } kCompares[] = {{"==", CompareOperator::kEq}, {"!=", CompareOperator::kNe},
                   {"<", CompareOperator::kLt},  {"<=", CompareOperator::kLe},
                   {">", CompareOperator::kGt},  {">=", CompareOperator::kGe}};
  for (const auto& compare : kCompares) {
    if (tokens.IsOperator(compare.text)) return compare.op;
  }
  return std::nullopt;
}

// The value of 0x1f, 0o17, 0b11 or 15, if 64 bits hold it.
std::optional<int64_t> ParseInteger(absl::string_view digits) {
  const char letter =
      digits.size() > 1 ? absl::ascii_tolower(static_cast<unsigned char>(digits[1])) : '\0';
  const uint64_t base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
  if (base != 10) digits.remove_prefix(2);
  uint64_t value = 0;
  for (const char c : digits) {
    const uint64_t digit = absl::ascii_isdigit(static_cast<unsigned char>(c))
                               ? static_cast<uint64_t>(c - '0')
                               : static_cast<uint64_t>(absl::ascii_tolower(c) - 'a' + 10);
    if (digit >= base || value > (INT64_MAX - digit) / base) return std::nullopt;
    value = value * base + digit;
  }
  return static_cast<int64_t>(value);
}

}  // namespace

absl::Status ExpressionParser::Enter() {
  if (++depth_ <= max_depth_) return absl::OkStatus();
  const absl::Status place =
      tokens_.Fail(absl::StrCat("the template nests deeper than ", max_depth_, " levels"));
  return absl::ResourceExhaustedError(place.message());
}

absl::Status ExpressionParser::CheckUnknownSince(size_t mark) const {
  if (unknown_.size() <= mark) return absl::OkStatus();
  return tokens_.FailAt(unknown_[mark].offset, unknown_[mark].message);
}

Expression* ExpressionParser::Make(ExpressionType type, size_t offset) {
  ast_.expressions.push_back({.type = type, .offset = offset});
  return &ast_.expressions.back();
}

ExpressionOr ExpressionParser::ParseExpression() {
  const NestingGuard deeper(this);
  JINJA_RETURN_IF_ERROR(deeper.status());
  const size_t mark = MarkUnknown();
  JINJA_ASSIGN_OR_RETURN(const Expression* value, ParseOr());
  while (tokens_.IsName("if")) {
    Expression* const node = Make(ExpressionType::kConditional, tokens_.current().offset);
    tokens_.Advance();
    JINJA_ASSIGN_OR_RETURN(const Expression* const condition, ParseOr());
    const Expression* otherwise = nullptr;
    if (tokens_.SkipName("else")) {
      JINJA_ASSIGN_OR_RETURN(otherwise, ParseExpression());
    }
    node->parts = {value, condition, otherwise};
    value = node;
    PardonUnknownSince(mark);
  }
  return value;
}

ExpressionOr ExpressionParser::ParseTuple(bool with_conditional) {
  const size_t offset = tokens_.current().offset;
  JINJA_ASSIGN_OR_RETURN(const Expression* const first,
                         with_conditional ? ParseExpression() : ParseOr());
  if (!tokens_.IsOperator(",")) return first;
  Expression* const tuple = Make(ExpressionType::kTuple, offset);
  tuple->parts.push_back(first);
  while (tokens_.SkipOperator(",")) {
    // Only these can follow the last comma.
    if (tokens_.Is(TokenType::kVariableEnd) || tokens_.Is(TokenType::kBlockEnd) ||
        tokens_.IsOperator(")") || tokens_.IsName("recursive")) {
      break;
    }
    JINJA_ASSIGN_OR_RETURN(const Expression* const part,
                           with_conditional ? ParseExpression() : ParseOr());
    tuple->parts.push_back(part);
  }
  return tuple;
}

ExpressionOr ExpressionParser::ParseTarget(bool with_namespace) {
  const size_t offset = tokens_.current().offset;
  JINJA_ASSIGN_OR_RETURN(const Expression* const first, ParseTargetPart(with_namespace));
  if (!tokens_.IsOperator(",")) return first;
  Expression* const tuple = Make(ExpressionType::kTuple, offset);
  tuple->parts.push_back(first);
  while (tokens_.SkipOperator(",")) {
    if (tokens_.IsName("in") || tokens_.IsOperator("=") || tokens_.IsOperator(")")) break;
    JINJA_ASSIGN_OR_RETURN(const Expression* const part, ParseTargetPart(with_namespace));
    tuple->parts.push_back(part);
  }
  return tuple;
}

ExpressionOr ExpressionParser::ParseTargetPart(bool with_namespace) {
  const NestingGuard deeper(this);
  JINJA_RETURN_IF_ERROR(deeper.status());
  if (tokens_.SkipOperator("(")) {
    JINJA_ASSIGN_OR_RETURN(const Expression* const inner, ParseTarget(with_namespace));
    JINJA_RETURN_IF_ERROR(tokens_.ExpectOperator(")"));
    return inner;
  }
  for (const absl::string_view name : {"true", "false", "none", "True", "False", "None"}) {
    if (tokens_.IsName(name)) return tokens_.Unexpected("a name to assign to");
  }
  Expression* const target = Make(ExpressionType::kName, tokens_.current().offset);
  JINJA_ASSIGN_OR_RETURN(target->name, tokens_.TakeName());
  if (with_namespace && tokens_.SkipOperator(".")) {
    target->type = ExpressionType::kNamespace;
    JINJA_ASSIGN_OR_RETURN(target->attribute, tokens_.TakeName());
  }
  return target;
}

ExpressionOr ExpressionParser::ParseOr() {
  JINJA_ASSIGN_OR_RETURN(const Expression* const first, ParseAnd());
  if (!tokens_.IsName("or")) return first;
  Expression* const node = Make(ExpressionType::kOr, tokens_.current().offset);
  node->parts.push_back(first);
  while (tokens_.SkipName("or")) {
    JINJA_ASSIGN_OR_RETURN(const Expression* const part, ParseAnd());
    node->parts.push_back(part);
  }
  return node;
}

ExpressionOr ExpressionParser::ParseAnd() {
  JINJA_ASSIGN_OR_RETURN(const Expression* const first, ParseNot());
  if (!tokens_.IsName("and")) return first;
  Expression* const node = Make(ExpressionType::kAnd, tokens_.current().offset);
  node->parts.push_back(first);
  while (tokens_.SkipName("and")) {
    JINJA_ASSIGN_OR_RETURN(const Expression* const part, ParseNot());
    node->parts.push_back(part);
  }
  return node;
}

ExpressionOr ExpressionParser::ParseNot() {
  if (!tokens_.IsName("not")) return ParseCompare();
  const NestingGuard deeper(this);
  JINJA_RETURN_IF_ERROR(deeper.status());
  Expression* const node = Make(ExpressionType::kNot, tokens_.current().offset);
  tokens_.Advance();
  JINJA_ASSIGN_OR_RETURN(const Expression* const operand, ParseNot());
  node->parts.push_back(operand);
  return node;
}

ExpressionOr ExpressionParser::ParseCompare() {
  JINJA_ASSIGN_OR_RETURN(const Expression* const first, ParseSum());
  Expression* node = nullptr;
  for (;;) {
    std::optional<CompareOperator> op = FindCompare(tokens_);
    const size_t offset = tokens_.current().offset;
    if (!op.has_value() && tokens_.IsName("in")) op = CompareOperator::kIn;
    if (!op.has_value() && tokens_.IsName("not") && tokens_.next().type == TokenType::kName &&
        tokens_.next().text == "in") {
      op = CompareOperator::kNotIn;
      tokens_.Advance();
    }
    if (!op.has_value()) return node != nullptr ? node : first;
    tokens_.Advance();
    if (node == nullptr) {
      node = Make(ExpressionType::kCompare, offset);
      node->parts.push_back(first);
    }
    JINJA_ASSIGN_OR_RETURN(const Expression* const operand, ParseSum());
    node->compares.push_back(*op);
    node->parts.push_back(operand);
  }
}

ExpressionOr ExpressionParser::ParseSum() {
  JINJA_ASSIGN_OR_RETURN(const Expression* left, ParseConcat());
  while (const auto op = FindOperator(tokens_, kSums)) {
    Expression* const node = Make(ExpressionType::kBinary, tokens_.current().offset);
    tokens_.Advance();
    JINJA_ASSIGN_OR_RETURN(const Expression* const right, ParseConcat());
    node->binary = *op;
    node->parts = {left, right};
    left = node;
  }
  return left;
}

ExpressionOr ExpressionParser::ParseConcat() {
  JINJA_ASSIGN_OR_RETURN(const Expression* const first, ParseProduct());
  if (!tokens_.IsOperator("~")) return first;
  Expression* const node = Make(ExpressionType::kConcat, tokens_.current().offset);
  node->parts.push_back(first);
  while (tokens_.SkipOperator("~")) {
    JINJA_ASSIGN_OR_RETURN(const Expression* const part, ParseProduct());
    node->parts.push_back(part);
  }
  return node;
}

ExpressionOr ExpressionParser::ParseProduct() {
  JINJA_ASSIGN_OR_RETURN(const Expression* left, ParsePower());
  while (const auto op = FindOperator(tokens_, kProducts)) {
    Expression* const node = Make(ExpressionType::kBinary, tokens_.current().offset);
    tokens_.Advance();
    JINJA_ASSIGN_OR_RETURN(const Expression* const right, ParsePower());
    node->binary = *op;
    node->parts = {left, right};
    left = node;
  }
  return left;
}

ExpressionOr ExpressionParser::ParsePower() {
  JINJA_ASSIGN_OR_RETURN(const Expression* left, ParseUnary(true));
  while (tokens_.IsOperator("**")) {
    Expression* const node = Make(ExpressionType::kBinary, tokens_.current().offset);
    tokens_.Advance();
    JINJA_ASSIGN_OR_RETURN(const Expression* const right, ParseUnary(true));
    node->binary = BinaryOperator::kPow;
    node->parts = {left, right};
    left = node;
  }
  return left;
}

ExpressionOr ExpressionParser::ParseUnary(bool with_filters) {
  const Expression* value;
  if (tokens_.IsOperator("-") || tokens_.IsOperator("+")) {
    const NestingGuard deeper(this);
    JINJA_RETURN_IF_ERROR(deeper.status());
    Expression* const node = Make(ExpressionType::kUnary, tokens_.current().offset);
    node->unary = tokens_.IsOperator("-") ? UnaryOperator::kNegate : UnaryOperator::kPlus;
    tokens_.Advance();
    JINJA_ASSIGN_OR_RETURN(const Expression* const operand, ParseUnary(false));
    node->parts.push_back(operand);
    value = node;
  } else {
    JINJA_ASSIGN_OR_RETURN(value, ParsePrimary());
  }
  JINJA_ASSIGN_OR_RETURN(value, ParsePostfix(value));
  return with_filters ? ParseFiltersAndTests(value) : value;
}

ExpressionOr ExpressionParser::ParsePrimary() {
  const Token& token = tokens_.current();
  const size_t offset = token.offset;
  if (token.type == TokenType::kInteger || token.type == TokenType::kFloat) return ParseNumber();
  if (tokens_.IsOperator("(")) return ParseParentheses();
  if (tokens_.IsOperator("[")) return ParseList();
  if (tokens_.IsOperator("{")) return ParseDict();
  if (token.type == TokenType::kString) {
    std::string text;  // strings side by side are one
    for (; tokens_.Is(TokenType::kString); tokens_.Advance()) text += tokens_.current().text;
    Expression* const node = Make(ExpressionType::kLiteral, offset);
    node->literal = Value::String(std::move(text));
    return node;
  }
  if (token.type != TokenType::kName) return tokens_.Unexpected("an expression");
  Expression* const node = Make(ExpressionType::kName, offset);
  node->name = token.text;
  tokens_.Advance();
  const std::string& name = node->name;
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    node->type = ExpressionType::kLiteral;
    node->literal = Value::Bool(name == "true" || name == "True");
  } else if (name == "none" || name == "None") {
    node->type = ExpressionType::kLiteral;
    node->literal = Value::None();
  }
  for (MacroSignature* const macro : open_macros_) {
    macro->uses_varargs |= name == "varargs";
    macro->uses_kwargs |= name == "kwargs";
    macro->uses_caller |= name == "caller";
  }
  if (name == "loop") {
    for (Statement* const loop : open_loops_) loop->uses_loop = true;
  }
  return node;
}

ExpressionOr ExpressionParser::ParseNumber() {
  const Token& token = tokens_.current();
  Expression* const node = Make(ExpressionType::kLiteral, token.offset);
  if (token.type == TokenType::kInteger) {
    const std::optional<int64_t> value = ParseInteger(token.text);
    if (!value.has_value()) {
      return tokens_.Fail(
          absl::StrCat("\"", token.text.substr(0, 40), "\" is not an integer of 64 bits"));
    }
    node->literal = Value::Int(*value);
  } else {
    double value;
    if (!absl::SimpleAtod(token.text, &value)) return tokens_.Unexpected("a number");
    node->literal = Value::Float(value);
  }
  tokens_.Advance();
  return node;
}

ExpressionOr ExpressionParser::ParseParentheses() {
  const size_t offset = tokens_.current().offset;
  tokens_.Advance();
  if (tokens_.SkipOperator(")")) return Make(ExpressionType::kTuple, offset);
  JINJA_ASSIGN_OR_RETURN(const Expression* const inner, ParseTuple());
  JINJA_RETURN_IF_ERROR(tokens_.ExpectOperator(")"));
  return inner;
}

ExpressionOr ExpressionParser::ParseList() {
  Expression* const list = Make(ExpressionType::kList, tokens_.current().offset);
  tokens_.Advance();
  while (!tokens_.IsOperator("]")) {
    if (!list->parts.empty()) {
      JINJA_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      if (tokens_.IsOperator("]")) break;
    }
    JINJA_ASSIGN_OR_RETURN(const Expression* const part, ParseExpression());
    list->parts.push_back(part);
  }
  tokens_.Advance();
  return list;
}

ExpressionOr ExpressionParser::ParseDict() {
  Expression* const dict = Make(ExpressionType::kDict, tokens_.current().offset);
  tokens_.Advance();
  while (!tokens_.IsOperator("}")) {
    if (!dict->parts.empty()) {
      JINJA_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      if (tokens_.IsOperator("}")) break;
    }
    JINJA_ASSIGN_OR_RETURN(const Expression* const key, ParseExpression());
    JINJA_RETURN_IF_ERROR(tokens_.ExpectOperator(":"));
    JINJA_ASSIGN_OR_RETURN(const Expression* const value, ParseExpression());
    dict->parts.push_back(key);
    dict->parts.push_back(value);
  }
  tokens_.Advance();
  return dict;
}

ExpressionOr ExpressionParser::ParsePostfix(const Expression* value) {
  for (;;) {
    if (tokens_.IsOperator(".")) {
      JINJA_ASSIGN_OR_RETURN(value, ParseAttribute(value));
    } else if (tokens_.IsOperator("[")) {
      JINJA_ASSIGN_OR_RETURN(value, ParseSubscript(value));
    } else if (tokens_.IsOperator("(")) {
      JINJA_ASSIGN_OR_RETURN(value, ParseCall(value));
    } else {
      return value;
    }
  }
}

ExpressionOr ExpressionParser::ParseFiltersAndTests(const Expression* value) {
  for (;;) {
    if (tokens_.IsOperator("|")) {
      JINJA_ASSIGN_OR_RETURN(value, ParseFilters(value));
    } else if (tokens_.IsName("is")) {
      JINJA_ASSIGN_OR_RETURN(value, ParseTest(value));
    } else if (tokens_.IsOperator("(")) {
      JINJA_ASSIGN_OR_RETURN(value, ParseCall(value));
    } else {
      return value;
    }
  }
}

ExpressionOr ExpressionParser::ParseAttribute(const Expression* value) {
  Expression* const node = Make(ExpressionType::kAttribute, tokens_.current().offset);
  node->parts.push_back(value);
  tokens_.Advance();
  if (tokens_.Is(TokenType::kInteger)) {  // items.0
    node->type = ExpressionType::kItem;
    JINJA_ASSIGN_OR_RETURN(const Expression* const index, ParseNumber());
    node->parts.push_back(index);
    return node;
  }
  JINJA_ASSIGN_OR_RETURN(node->name, tokens_.TakeName());
  return node;
}

ExpressionOr ExpressionParser::ParseSubscript(const Expression* value) {
  const size_t offset = tokens_.current().offset;
  tokens_.Advance();
  JINJA_ASSIGN_OR_RETURN(const Expression* const node, ParseIndexOrSlice(value, offset));
  JINJA_RETURN_IF_ERROR(tokens_.ExpectOperator("]"));
  return node;
}

ExpressionOr ExpressionParser::ParseIndexOrSlice(const Expression* value, size_t offset) {
  Expression* const node = Make(ExpressionType::kItem, offset);
  node->parts.push_back(value);
  const Expression* bounds[3] = {nullptr, nullptr, nullptr};
  int count = 0;
  for (; count < 3; ++count) {
    if (!tokens_.IsOperator(":") && !tokens_.IsOperator("]")) {
      JINJA_ASSIGN_OR_RETURN(bounds[count], count == 0 ? ParseTuple() : ParseExpression());
    }
    if (!tokens_.IsOperator(":")) break;
    if (count < 2) tokens_.Advance();
  }
  if (count == 0) {
    if (bounds[0] == nullptr) return tokens_.Unexpected("an index");
    node->parts.push_back(bounds[0]);
    return node;
  }
  node->type = ExpressionType::kSlice;
  node->parts.insert(node->parts.end(), bounds, bounds + 3);
  return node;
}

ExpressionOr ExpressionParser::ParseCall(const Expression* function) {
  Expression* const node = Make(ExpressionType::kCall, tokens_.current().offset);
  node->parts.push_back(function);
  JINJA_ASSIGN_OR_RETURN(node->arguments, ParseArguments());
  return node;
}

absl::StatusOr<Arguments> ExpressionParser::ParseArguments() {
  Arguments arguments;
  JINJA_RETURN_IF_ERROR(tokens_.ExpectOperator("("));
  for (bool first = true; !tokens_.IsOperator(")"); first = false) {
    if (!first) {
      JINJA_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      if (tokens_.IsOperator(")")) break;
    }
    if (arguments.more_named != nullptr) return tokens_.Unexpected("')' after **");
    if (tokens_.SkipOperator("**")) {
      JINJA_ASSIGN_OR_RETURN(arguments.more_named, ParseExpression());
    } else if (arguments.more == nullptr && tokens_.SkipOperator("*")) {
      JINJA_ASSIGN_OR_RETURN(arguments.more, ParseExpression());
    } else if (tokens_.Is(TokenType::kName) && tokens_.next().type == TokenType::kOperator &&
               tokens_.next().text == "=") {
      std::string name = tokens_.current().text;
      tokens_.Advance();
      tokens_.Advance();
      JINJA_ASSIGN_OR_RETURN(const Expression* const value, ParseExpression());
      arguments.named.emplace_back(std::move(name), value);
    } else if (arguments.more != nullptr || !arguments.named.empty()) {
      return tokens_.Unexpected("name=value, as positional arguments come first");
    } else {
      JINJA_ASSIGN_OR_RETURN(const Expression* const value, ParseExpression());
      arguments.positional.push_back(value);
    }
  }
  tokens_.Advance();
  return arguments;
}

absl::StatusOr<std::string> ExpressionParser::ParseDottedName() {
  JINJA_ASSIGN_OR_RETURN(std::string name, tokens_.TakeName());
  while (tokens_.SkipOperator(".")) {
    JINJA_ASSIGN_OR_RETURN(const std::string part, tokens_.TakeName());
    absl::StrAppend(&name, ".", part);
  }
  return name;
}

ExpressionOr ExpressionParser::ParseFilters(const Expression* input, bool is_inline) {
  while (is_inline || tokens_.SkipOperator("|")) {
    is_inline = false;
    Expression* const node = Make(ExpressionType::kFilter, tokens_.current().offset);
    node->parts.push_back(input);
    JINJA_ASSIGN_OR_RETURN(node->name, ParseDottedName());
    node->builtin = FindFilter(node->name);
    if (node->builtin == nullptr) {
      unknown_.push_back(
          {node->offset, absl::StrCat("there is no filter named '", node->name, "'")});
    }
    if (tokens_.IsOperator("(")) {
      JINJA_ASSIGN_OR_RETURN(node->arguments, ParseArguments());
    }
    input = node;
  }
  return input;
}

ExpressionOr ExpressionParser::ParseTest(const Expression* value) {
  const size_t offset = tokens_.current().offset;
  tokens_.Advance();
  const bool negated = tokens_.SkipName("not");
  Expression* const node = Make(ExpressionType::kTest, tokens_.current().offset);
  node->parts.push_back(value);
  JINJA_ASSIGN_OR_RETURN(node->name, ParseDottedName());
  node->builtin = FindTest(node->name);
  if (node->builtin == nullptr) {
    unknown_.push_back({node->offset, absl::StrCat("there is no test named '", node->name, "'")});
  }
  if (tokens_.IsName("is")) return tokens_.Unexpected("no second test; use `and`");
  const bool has_operand = (tokens_.Is(TokenType::kName) && !tokens_.IsName("else") &&
                            !tokens_.IsName("or") && !tokens_.IsName("and")) ||
                           tokens_.Is(TokenType::kString) || tokens_.Is(TokenType::kInteger) ||
                           tokens_.Is(TokenType::kFloat) || tokens_.IsOperator("[") ||
                           tokens_.IsOperator("{");
  if (tokens_.IsOperator("(")) {
    JINJA_ASSIGN_OR_RETURN(node->arguments, ParseArguments());
  } else if (has_operand) {
    JINJA_ASSIGN_OR_RETURN(const Expression* operand, ParsePrimary());
    JINJA_ASSIGN_OR_RETURN(operand, ParsePostfix(operand));
    node->arguments.positional.push_back(operand);
  }
  if (!negated) return node;
  Expression* const negation = Make(ExpressionType::kNot, offset);
  negation->parts.push_back(node);
  return negation;
}

}  // namespace sluice::jinja
