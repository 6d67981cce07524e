// Cuts a template into tokens, with Jinja's handling of white space around tags.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_LEXER_H_
#define SLUICE_RUNTIME_TEXT_JINJA_LEXER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice::jinja {

enum class TokenType : uint8_t {
  kText,           // outside of tags; never empty
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,  // decoded
  kInteger,
  kFloat,
  kOperator,  // text is the operator: "==", "//", "["
  kEnd,
};

struct Token {
  TokenType type;
  size_t offset;  // in the normalized source
  std::string text;
};

// Returns the source as it is lexed: every line end is "
// ", and a line end at the end is dropped.
std::string NormalizeSource(absl::string_view source);

// Describes an offset in the normalized source: "line 3, column 14"; columns count code points from
// 1.
std::string DescribePosition(absl::string_view source, size_t offset);

// Returns the tokens of a normalized source, ending with kEnd. As transformers sets Jinja up, a
// line end behind a block or comment is dropped (trim_blocks), and so are blanks before one that
// comes first in its line (lstrip_blocks). InvalidArgument: malformed, with the place.
absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view source);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_LEXER_H_
