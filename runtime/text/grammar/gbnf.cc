// A recursive descent over the text.
#include "runtime/text/grammar/gbnf.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/grammar/cursor.h"
#include "runtime/text/grammar/utf8.h"

namespace sluice::grammar {
namespace {

using ExprId = Grammar::ExprId;

bool IsNameChar(char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_'; }

class GbnfParser : private Cursor {
 public:
  GbnfParser(absl::string_view text, const Limits& limits) : Cursor(text), limits_(limits) {}

  absl::StatusOr<Grammar> Parse() {
    SkipSpace(/*newlines=*/true);
    while (!AtEnd()) {
      SLUICE_RETURN_IF_ERROR(ParseRule());
      SkipSpace(/*newlines=*/true);
    }
    const auto root = rules_.find("root");
    if (root == rules_.end())
      return absl::InvalidArgumentError("grammar: there is no rule \"root\"");
    for (const auto& [name, use] : rules_) {
      if (grammar_.rules()[use.rule].body < 0) undefined_.emplace_back(use.first_use, name);
    }
    if (!undefined_.empty()) {
      const auto& [at, name] = *std::min_element(undefined_.begin(), undefined_.end());
      at_ = at;
      return Error(absl::StrCat("the rule \"", name, "\" is used but not defined"));
    }
    grammar_.set_root(root->second.rule);
    return std::move(grammar_);
  }

 private:
  struct NamedRule {
    Grammar::RuleId rule;
    size_t first_use;
  };

  std::string Place() const override {
    const absl::string_view before = text_.substr(0, at_);
    const size_t line_start =
        before.rfind('\n') == absl::string_view::npos ? 0 : before.rfind('\n') + 1;
    return absl::StrCat("grammar:", 1 + std::count(before.begin(), before.end(), '\n'), ":",
                        at_ - line_start + 1);
  }

  void SkipSpace(bool newlines) {
    while (!AtEnd()) {
      const char c = Peek();
      if (c == '#') {
        while (!AtEnd() && Peek() != '\n' && Peek() != '\r') ++at_;
      } else if (c == ' ' || c == '\t' || (newlines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  absl::string_view TakeName() {
    const size_t begin = at_;
    while (!AtEnd() && IsNameChar(Peek())) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  Grammar::RuleId RuleNamed(absl::string_view name, size_t at) {
    const auto [it, is_new] = rules_.try_emplace(std::string(name), NamedRule{-1, at});
    if (is_new) it->second.rule = grammar_.AddRule(name);
    return it->second.rule;
  }

  absl::Status ParseRule() {
    const size_t begin = at_;
    const absl::string_view name = TakeName();
    if (name.empty()) return Error("expected the name of a rule");
    SkipSpace(/*newlines=*/false);
    if (!Take("::=")) return Error(absl::StrCat("expected ::= after \"", name, "\""));
    const Grammar::RuleId rule = RuleNamed(name, begin);
    if (grammar_.rules()[rule].body >= 0) {
      at_ = begin;
      return Error(absl::StrCat("the rule \"", name, "\" is defined twice"));
    }
    SkipSpace(/*newlines=*/true);
    SLUICE_ASSIGN_OR_RETURN(const ExprId body, ParseChoice(/*depth=*/0));
    if (!AtEnd() && Peek() != '\n' && Peek() != '\r') {
      return Error(absl::StrCat("expected the end of the rule \"", name, "\""));
    }
    grammar_.Define(rule, body);
    return absl::OkStatus();
  }

  absl::StatusOr<ExprId> ParseChoice(int depth) {
    if (depth > limits_.depth) return TooMuch("groups in each other", limits_.depth);
    std::vector<ExprId> parts;
    do {
      SkipSpace(/*newlines=*/depth > 0 || !parts.empty());
      SLUICE_ASSIGN_OR_RETURN(const ExprId part, ParseSequence(depth));
      parts.push_back(part);
    } while (Take("|"));
    return grammar_.Choice(std::move(parts));
  }

  absl::StatusOr<ExprId> ParseSequence(int depth) {
    std::vector<ExprId> parts;
    while (true) {
      if (grammar_.num_exprs() > limits_.expressions)
        return TooMuch("expressions", limits_.expressions);
      SLUICE_ASSIGN_OR_RETURN(std::optional<ExprId> part, ParseItem(depth));
      if (!part.has_value()) return grammar_.Sequence(std::move(parts));
      SkipSpace(depth > 0);
      SLUICE_ASSIGN_OR_RETURN(part, ParseRepeats(*part, depth));
      parts.push_back(*part);
    }
  }

  // Returns nothing if something other than an item comes.
  absl::StatusOr<std::optional<ExprId>> ParseItem(int depth) {
    const size_t begin = at_;
    if (Take("\"")) return ParseText();
    if (Take("[")) return ParseClass();
    if (Take(".")) return grammar_.Class({{0, kMaxCodePoint}});
    if (Take("(")) {
      SLUICE_ASSIGN_OR_RETURN(const ExprId group, ParseChoice(depth + 1));
      SkipSpace(/*newlines=*/true);
      if (!Take(")")) return Error("expected )");
      return group;
    }
    if (Peek() == '<' || text_.substr(at_, 2) == "!<") return ParseToken();
    const absl::string_view name = TakeName();
    if (name.empty()) return std::nullopt;
    return grammar_.Use(RuleNamed(name, begin));
  }

  // Parses <think>, a token by its text, or <[258]>, a token by its id; behind an exclamation mark,
  // any one other token.
  absl::StatusOr<std::optional<ExprId>> ParseToken() {
    const size_t begin = at_;
    const auto refuse = [&](absl::string_view message) {
      at_ = begin;
      return Error(message);
    };
    Grammar::Token token;
    token.negated = Take("!");
    const size_t text_begin = at_++;
    if (Take("[")) {
      const size_t digits = at_;
      int64_t id = 0;
      while (absl::ascii_isdigit(Peek()) && id <= std::numeric_limits<int32_t>::max())
        id = 10 * id + (text_[at_++] - '0');
      if (at_ == digits || id > std::numeric_limits<int32_t>::max() || !Take("]>")) {
        return refuse("a token is named by its id as in <[258]>");
      }
      token.id = static_cast<int32_t>(id);
    } else {
      while (!AtEnd() && Peek() != '>' && Peek() != '\n' && Peek() != '\r') ++at_;
      if (at_ == text_begin + 1 || !Take(">"))
        return refuse("a token is named by its text as in <think>");
      token.text = std::string(text_.substr(text_begin, at_ - text_begin));
    }
    const ExprId expr = grammar_.OneToken(std::move(token));
    if (static_cast<int64_t>(grammar_.tokens().size()) > limits_.tokens)
      return TooMuch("tokens by name", limits_.tokens);
    return expr;
  }

  absl::StatusOr<ExprId> ParseRepeats(ExprId part, int depth) {
    for (int repeats = 0;; ++repeats) {
      if (repeats > limits_.depth) return TooMuch("repetitions of repetitions", limits_.depth);
      if (Take("*")) {
        part = grammar_.Repeat(part, 0, Grammar::kUnlimited);
      } else if (Take("+")) {
        part = grammar_.Repeat(part, 1, Grammar::kUnlimited);
      } else if (Take("?")) {
        part = grammar_.Optional(part);
      } else if (Take("{")) {
        SkipSpace(depth > 0);
        SLUICE_ASSIGN_OR_RETURN(const int32_t min, ParseCount(limits_.repetitions));
        int32_t max = min;
        SkipSpace(depth > 0);
        if (Take(",")) {
          SkipSpace(depth > 0);
          max = Grammar::kUnlimited;
          if (absl::ascii_isdigit(Peek())) {
            SLUICE_ASSIGN_OR_RETURN(max, ParseCount(limits_.repetitions));
            if (max < min)
              return Error(
                  absl::StrCat("{", min, ",", max, "} has its bounds the wrong way round"));
          }
          SkipSpace(depth > 0);
        }
        if (!Take("}")) return Error("expected }");
        part = grammar_.Repeat(part, min, max);
      } else {
        return part;
      }
      SkipSpace(depth > 0);
    }
  }

  absl::StatusOr<std::optional<ExprId>> ParseText() {
    std::string text;
    while (!Take("\"")) {
      SLUICE_ASSIGN_OR_RETURN(const uint32_t c, ParseChar());
      AppendUtf8(c, &text);
    }
    return grammar_.Text(text);
  }

  absl::StatusOr<std::optional<ExprId>> ParseClass() {
    const bool negated = Take("^");
    std::vector<CodePointRange> ranges;
    while (!Take("]")) {
      SLUICE_ASSIGN_OR_RETURN(const uint32_t first, ParseChar());
      uint32_t last = first;
      if (Peek() == '-' && text_.substr(at_ + 1, 1) != "]") {
        ++at_;
        SLUICE_ASSIGN_OR_RETURN(last, ParseChar());
        if (last < first) return Error("a range of characters has its ends the wrong way round");
      }
      ranges.push_back({first, last});
    }
    ranges = NormalizedRanges(std::move(ranges));
    return grammar_.Class(negated ? ComplementRanges(ranges) : std::move(ranges));
  }

  // A character of a text or a class, or an escape.
  absl::StatusOr<uint32_t> ParseChar() {
    if (AtEnd()) return Error("the grammar ends inside a text or a class of characters");
    if (Take("\\")) {
      const char kind = Peek();
      ++at_;
      switch (kind) {
        case 'x':
          return ParseHex(2);
        case 'u':
          return ParseHex(4);
        case 'U':
          return ParseHex(8);
        case 't':
          return '\t';
        case 'r':
          return '\r';
        case 'n':
          return '\n';
        case '\\':
        case '"':
        case '[':
        case ']':
        case '-':
        case '^':
          return kind;
        default:
          --at_;
          return Error("unknown escape after a backslash");
      }
    }
    const CodePoint c = FirstCodePoint(text_.substr(at_));
    if (c.size == 0) return Error("malformed UTF-8");
    at_ += c.size;
    return c.value;
  }

  absl::StatusOr<uint32_t> ParseHex(int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char c = Peek();
      if (!absl::ascii_isxdigit(c))
        return Error(absl::StrCat("expected ", digits, " hexadecimal digits"));
      value = value << 4 |
              static_cast<uint32_t>(absl::ascii_isdigit(c) ? c - '0'
                                                           : absl::ascii_tolower(c) - 'a' + 10);
      ++at_;
    }
    if (value > kMaxCodePoint || (value >= 0xD800 && value <= 0xDFFF)) {
      return Error(absl::StrCat("U+", absl::Hex(value), " is not a character"));
    }
    return value;
  }

  const Limits& limits_;
  Grammar grammar_;
  absl::flat_hash_map<std::string, NamedRule> rules_;
  std::vector<std::pair<size_t, std::string>> undefined_;
};

}  // namespace

absl::StatusOr<Grammar> ParseGbnf(absl::string_view text, const Limits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.source_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the grammar has ", text.size(), " bytes, more than ", limits.source_bytes));
  }
  absl::ConsumePrefix(&text, "\xEF\xBB\xBF");  // a byte order mark
  return GbnfParser(text, limits).Parse();
}

}  // namespace sluice::grammar
