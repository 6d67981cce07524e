// What is expected and what is found, in words.
#include "runtime/text/jinja/token_stream.h"

#include "absl/strings/str_cat.h"

namespace sluice::jinja {
namespace {

std::string Describe(TokenType type) {
  switch (type) {
    case TokenType::kText:
      return "text";
    case TokenType::kVariableBegin:
      return "'{{'";
    case TokenType::kVariableEnd:
      return "'}}'";
    case TokenType::kBlockBegin:
      return "'{%'";
    case TokenType::kBlockEnd:
      return "'%}'";
    case TokenType::kName:
      return "a name";
    case TokenType::kString:
      return "a string";
    case TokenType::kInteger:
    case TokenType::kFloat:
      return "a number";
    case TokenType::kOperator:
      return "an operator";
    case TokenType::kEnd:
      return "the end of the template";
  }
  return "";
}

std::string Describe(const Token& token) {
  switch (token.type) {
    case TokenType::kName:
    case TokenType::kInteger:
    case TokenType::kFloat:
    case TokenType::kOperator:
      return absl::StrCat("'", token.text.substr(0, 40), "'");
    default:
      return Describe(token.type);
  }
}

}  // namespace

bool TokenStream::SkipOperator(absl::string_view op) {
  if (!IsOperator(op)) return false;
  Advance();
  return true;
}

bool TokenStream::SkipName(absl::string_view name) {
  if (!IsName(name)) return false;
  Advance();
  return true;
}

absl::Status TokenStream::Expect(TokenType type) {
  if (!Is(type)) return Unexpected(Describe(type));
  Advance();
  return absl::OkStatus();
}

absl::Status TokenStream::ExpectOperator(absl::string_view op) {
  return SkipOperator(op) ? absl::OkStatus() : Unexpected(absl::StrCat("'", op, "'"));
}

absl::Status TokenStream::ExpectName(absl::string_view name) {
  return SkipName(name) ? absl::OkStatus() : Unexpected(absl::StrCat("'", name, "'"));
}

absl::StatusOr<std::string> TokenStream::TakeName() {
  if (!Is(TokenType::kName)) return Unexpected("a name");
  std::string name = current().text;
  Advance();
  return name;
}

absl::Status TokenStream::FailAt(size_t offset, absl::string_view message) const {
  return absl::InvalidArgumentError(absl::StrCat(DescribePosition(source_, offset), ": ", message));
}

absl::Status TokenStream::Unexpected(absl::string_view wanted) const {
  return Fail(absl::StrCat("unexpected ", Describe(current()), ", expected ", wanted));
}

}  // namespace sluice::jinja
