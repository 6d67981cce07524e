// The parser's place in a list of tokens, and its errors.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_TOKEN_STREAM_H_
#define SLUICE_RUNTIME_TEXT_JINJA_TOKEN_STREAM_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/jinja/lexer.h"

namespace sluice::jinja {

class TokenStream {
 public:
  // `source`, which the tokens were cut from, must outlive this.
  TokenStream(std::vector<Token> tokens, absl::string_view source)
      : tokens_(std::move(tokens)), source_(source) {}

  const Token& current() const { return tokens_[at_]; }
  // The token after the current one.
  const Token& next() const { return tokens_[at_ + (at_ + 1 < tokens_.size())]; }
  void Advance() { at_ += at_ + 1 < tokens_.size(); }

  bool Is(TokenType type) const { return current().type == type; }
  bool IsOperator(absl::string_view op) const {
    return Is(TokenType::kOperator) && current().text == op;
  }
  bool IsName(absl::string_view name) const {
    return Is(TokenType::kName) && current().text == name;
  }
  bool SkipOperator(absl::string_view op);
  bool SkipName(absl::string_view name);

  // Moves past a token that must come here.
  absl::Status Expect(TokenType type);
  absl::Status ExpectOperator(absl::string_view op);
  absl::Status ExpectName(absl::string_view name);
  // Takes any name.
  absl::StatusOr<std::string> TakeName();

  // Makes InvalidArgument with the place of the current token, or of `offset`.
  absl::Status Fail(absl::string_view message) const { return FailAt(current().offset, message); }
  absl::Status FailAt(size_t offset, absl::string_view message) const;
  // Makes the error "unexpected 'x', expected `wanted`".
  absl::Status Unexpected(absl::string_view wanted) const;

 private:
  const std::vector<Token> tokens_;
  const absl::string_view source_;
  size_t at_ = 0;
};

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_TOKEN_STREAM_H_
