// One pass over the source: text up to the next tag, then the tag's tokens.
#include "runtime/text/jinja/lexer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/text.h"

namespace sluice::jinja {
namespace {

// Longer operators stand before their beginnings.
constexpr absl::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                            "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                            ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

bool IsDigitChar(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }

bool IsNameCharacter(uint32_t code) { return code == '_' || IsWordCharacter(code); }

class Lexer {
 public:
  explicit Lexer(absl::string_view source) : source_(source) {}

  absl::StatusOr<std::vector<Token>> Run() {
    while (at_ < source_.size()) JINJA_RETURN_IF_ERROR(TextAndTag());
    Add(TokenType::kEnd, at_, "");
    return std::move(tokens_);
  }

 private:
  absl::Status Fail(size_t offset, absl::string_view message) const {
    return absl::InvalidArgumentError(
        absl::StrCat(DescribePosition(source_, offset), ": ", message));
  }

  void Add(TokenType type, size_t offset, absl::string_view text) {
    tokens_.push_back({type, offset, std::string(text)});
  }

  char Peek(size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }
  bool At(absl::string_view text) const { return absl::StartsWith(source_.substr(at_), text); }

  // Moves past white space, of any kind that Unicode knows.
  void SkipSpace() {
    at_ = source_.size() - Strip(source_.substr(at_), nullptr, true, false).size();
  }

  // Adds the text before a tag that opens with `sign` behind its two characters.
  void AddTextBefore(absl::string_view text, size_t offset, char sign, bool is_variable) {
    if (sign == '-') {
      text = Strip(text, nullptr, false, true);
    } else if (sign != '+' && !is_variable) {
      const size_t line = text.rfind('\n') + 1;  // 0 where there is no line end
      if ((line > 0 || starts_line_) && Strip(text.substr(line), nullptr, true, false).empty()) {
        text = text.substr(0, line);
      }
    }
    if (!text.empty()) Add(TokenType::kText, offset, text);
  }

  // Moves past a tag's closing `end`, with its sign and the white space that goes with it. Returns
  // false if it is not here.
  bool CloseTag(absl::string_view end, bool is_variable) {
    const char sign = Peek();
    if ((sign == '-' || (sign == '+' && !is_variable)) &&
        absl::StartsWith(source_.substr(at_ + 1), end)) {
      at_ += 1 + end.size();
      if (sign == '-') SkipSpace();
    } else if (At(end)) {
      at_ += end.size();
      if (!is_variable && Peek() == '\n') ++at_;
    } else {
      return false;
    }
    starts_line_ = source_[at_ - 1] == '\n';
    return true;
  }

  absl::Status TextAndTag() {
    const size_t last = source_.size() - 1;  // a brace there opens nothing
    size_t open = std::min(source_.find('{', at_), last);
    while (open < last && !absl::StrContains("{%#", source_[open + 1])) {
      open = std::min(source_.find('{', open + 1), last);
    }
    if (open == last) {
      Add(TokenType::kText, at_, source_.substr(at_));
      at_ = source_.size();
      return absl::OkStatus();
    }
    const absl::string_view text = source_.substr(at_, open - at_);
    const size_t text_at = at_;
    const char type = source_[open + 1];
    at_ = open + 2;
    const char sign = Peek() == '-' || Peek() == '+' ? Peek() : '\0';
    if (sign != '\0') ++at_;
    AddTextBefore(text, text_at, sign, type == '{');
    if (type == '#') return Comment(open);
    if (type == '%' && SkipRawBegin()) return Raw(open);
    Add(type == '{' ? TokenType::kVariableBegin : TokenType::kBlockBegin, open, "");
    return Expression(open, type == '{');
  }

  absl::Status Comment(size_t open) {
    // A sign before the end is the comment's last character.
    const size_t end = source_.find("#}", at_);
    if (end == absl::string_view::npos) return Fail(open, "this comment has no end");
    const char last = end > at_ ? source_[end - 1] : '\0';
    at_ = last == '-' || last == '+' ? end - 1 : end;
    CloseTag("#}", false);
    return absl::OkStatus();
  }

  // Moves past the rest of {% raw %}; if it is another tag, returns false and does not move.
  bool SkipRawBegin() {
    const size_t start = at_;
    SkipSpace();
    if (At("raw")) {
      at_ += 3;
      SkipSpace();
      if (At("%}")) {
        at_ += 2;
        starts_line_ = false;
        return true;
      }
      if (At("-%}")) return CloseTag("%}", false);
    }
    at_ = start;
    return false;
  }

  absl::Status Raw(size_t open) {
    const size_t begin = at_;
    for (size_t tag = source_.find("{%", at_); tag != absl::string_view::npos;
         tag = source_.find("{%", tag + 2)) {
      at_ = tag + 2;
      const char sign = Peek() == '-' || Peek() == '+' ? Peek() : '\0';
      if (sign != '\0') ++at_;
      SkipSpace();
      if (!At("endraw")) continue;
      at_ += 6;
      SkipSpace();
      const bool started_line = starts_line_;
      if (!CloseTag("%}", false)) continue;
      const bool starts_line = std::exchange(starts_line_, started_line);
      AddTextBefore(source_.substr(begin, tag - begin), begin, sign, false);
      starts_line_ = starts_line;
      return absl::OkStatus();
    }
    return Fail(open, "{% raw %} has no {% endraw %}");
  }

  absl::Status Expression(size_t open, bool is_variable) {
    std::string brackets;  // those that are open, as what closes them
    for (;;) {
      SkipSpace();
      if (at_ >= source_.size()) {
        return Fail(open, absl::StrCat("this tag has no ", is_variable ? "}}" : "%}"));
      }
      const size_t begin = at_;
      if (brackets.empty() && CloseTag(is_variable ? "}}" : "%}", is_variable)) {
        Add(is_variable ? TokenType::kVariableEnd : TokenType::kBlockEnd, begin, "");
        return absl::OkStatus();
      }
      const char c = Peek();
      if (IsDigitChar(c)) {
        Number();
      } else if (c == '\'' || c == '"') {
        JINJA_RETURN_IF_ERROR(String());
      } else if (!Name()) {
        JINJA_RETURN_IF_ERROR(Operator(&brackets));
      }
    }
  }

  bool Name() {
    const size_t begin = at_;
    while (at_ < source_.size()) {
      size_t next = at_;
      if (!IsNameCharacter(NextCodePoint(source_, &next))) break;
      at_ = next;
    }
    if (at_ > begin) Add(TokenType::kName, begin, source_.substr(begin, at_ - begin));
    return at_ > begin;
  }

  absl::Status Operator(std::string* brackets) {
    for (const absl::string_view op : kOperators) {
      if (!At(op)) continue;
      const char c = op[0];
      if (c == '(' || c == '[' || c == '{') {
        brackets->push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
      } else if (c == ')' || c == ']' || c == '}') {
        if (brackets->empty() || brackets->back() != c) {
          std::string message = absl::StrCat("unexpected '", op, "'");
          if (!brackets->empty()) {
            absl::StrAppend(&message, ", expected '", std::string(1, brackets->back()), "'");
          }
          return Fail(at_, message);
        }
        brackets->pop_back();
      }
      Add(TokenType::kOperator, at_, op);
      at_ += op.size();
      return absl::OkStatus();
    }
    size_t next = at_;
    NextCodePoint(source_, &next);
    return Fail(at_, absl::StrCat("unexpected character '", source_.substr(at_, next - at_), "'"));
  }

  // Moves past digits, with single underscores between them; false where there are none.
  bool SkipDigits(bool (*is_digit)(unsigned char)) {
    if (!is_digit(static_cast<unsigned char>(Peek()))) return false;
    while (is_digit(static_cast<unsigned char>(Peek())) ||
           (Peek() == '_' && is_digit(static_cast<unsigned char>(Peek(1))))) {
      ++at_;
    }
    return true;
  }

  void Number() {
    const size_t begin = at_;
    TokenType type = TokenType::kInteger;
    const char base = absl::ascii_tolower(static_cast<unsigned char>(Peek(1)));
    if (Peek() == '0' && (base == 'x' || base == 'o' || base == 'b')) {
      at_ += 2;
      if (!SkipDigits(&absl::ascii_isxdigit)) at_ -= 1;
    } else {
      SkipDigits(&absl::ascii_isdigit);
      const bool behind_point = begin > 0 && source_[begin - 1] == '.';
      if (!behind_point && Peek() == '.' && IsDigitChar(Peek(1))) {
        ++at_;
        SkipDigits(&absl::ascii_isdigit);
        type = TokenType::kFloat;
      }
      const size_t sign = Peek(1) == '+' || Peek(1) == '-';
      if (!behind_point && (Peek() == 'e' || Peek() == 'E') && IsDigitChar(Peek(1 + sign))) {
        at_ += 1 + sign;
        SkipDigits(&absl::ascii_isdigit);
        type = TokenType::kFloat;
      }
    }
    std::string digits(source_.substr(begin, at_ - begin));
    std::erase(digits, '_');
    Add(type, begin, digits);
  }

  absl::Status String() {
    const size_t begin = at_;
    const char quote = Peek();
    ++at_;
    std::string text;
    while (at_ < source_.size() && source_[at_] != quote) {
      if (source_[at_] != '\\') {
        text += source_[at_++];
        continue;
      }
      if (at_ + 1 >= source_.size()) break;
      JINJA_RETURN_IF_ERROR(Escape(&text));
    }
    if (at_ >= source_.size()) return Fail(begin, "this string has no end");
    ++at_;
    Add(TokenType::kString, begin, text);
    return absl::OkStatus();
  }

  // Decodes the escape at the next backslash. An escape that Python does not know stays as it is.
  absl::Status Escape(std::string* text) {
    static constexpr absl::string_view kLetters = "abfnrtv\\'\"\n";
    static constexpr absl::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
    const size_t begin = at_;
    ++at_;
    const char c = source_[at_++];
    if (const size_t i = kLetters.find(c); i != absl::string_view::npos) {
      if (i < kMeanings.size()) *text += kMeanings[i];
      return absl::OkStatus();
    }
    if (c >= '0' && c <= '7') {
      uint32_t code = static_cast<uint32_t>(c - '0');
      for (int i = 0; i < 2 && Peek() >= '0' && Peek() <= '7'; ++i) {
        code = code * 8 + static_cast<uint32_t>(source_[at_++] - '0');
      }
      AppendCodePoint(code, text);
      return absl::OkStatus();
    }
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) {
      absl::StrAppend(text, "\\");
      --at_;
      return absl::OkStatus();
    }
    uint32_t code = 0;
    for (size_t i = 0; i < digits; ++i) {
      const unsigned char digit = static_cast<unsigned char>(Peek());
      if (!absl::ascii_isxdigit(digit)) {
        return Fail(begin, absl::StrCat("\\", std::string(1, c), " needs ", digits, " hex digits"));
      }
      code = code * 16 + static_cast<uint32_t>(IsDigitChar(static_cast<char>(digit))
                                                   ? digit - '0'
                                                   : absl::ascii_tolower(digit) - 'a' + 10);
      ++at_;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      return Fail(begin, "this escape is not a Unicode character");
    }
    AppendCodePoint(code, text);
    return absl::OkStatus();
  }

  const absl::string_view source_;
  size_t at_ = 0;
  bool starts_line_ = true;  // whether what comes next is first in its line
  std::vector<Token> tokens_;
};

}  // namespace

std::string NormalizeSource(absl::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      out += '\n';
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

std::string DescribePosition(absl::string_view source, size_t offset) {
  const absl::string_view before = source.substr(0, offset);
  int64_t line = 1;
  size_t begin = 0;
  for (size_t end = before.find('\n'); end != absl::string_view::npos;
       end = before.find('\n', begin)) {
    ++line;
    begin = end + 1;
  }
  return absl::StrCat("line ", line, ", column ", CountCodePoints(before.substr(begin)) + 1);
}

absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view source) {
  return Lexer(source).Run();
}

}  // namespace sluice::jinja
