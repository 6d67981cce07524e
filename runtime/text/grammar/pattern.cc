// A recursive descent over the pattern.
#include "runtime/text/grammar/pattern.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/grammar/cursor.h"
#include "runtime/text/grammar/utf8.h"

namespace sluice::grammar {
namespace {

using ExprId = Grammar::ExprId;
using Ranges = std::vector<CodePointRange>;

const Ranges& kDigits = *new Ranges{{'0', '9'}};
const Ranges& kWord = *new Ranges{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const Ranges& kSpaces = *new Ranges{{0x09, 0x0D}, {0x20, 0x20}};
// The characters that some standard or program takes for white space.
const Ranges& kMoreSpaces =
    *new Ranges{{0x09, 0x0D},     {0x1C, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
                {0x1680, 0x1680}, {0x180E, 0x180E}, {0x2000, 0x200A}, {0x2028, 0x2029},
                {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
const Ranges& kNotAscii = *new Ranges{{0x80, kMaxCodePoint}};
const Ranges& kLineEnds = *new Ranges{{0x0A, 0x0A}, {0x0D, 0x0D}, {0x2028, 0x2029}};

Ranges Union(Ranges a, const Ranges& b) {
  a.insert(a.end(), b.begin(), b.end());
  return NormalizedRanges(std::move(a));
}

// Returns the class of \d, \w or \s: the characters that every validator has in it or, with `most`,
// that any has. ECMA-262 knows only ASCII digits and letters, others follow Unicode; generated
// texts should be valid for all.
Ranges EscapedClass(char kind, bool most) {
  const Ranges digits = most ? Union(kDigits, kNotAscii) : kDigits;
  const Ranges word = most ? Union(kWord, kNotAscii) : kWord;
  return kind == 'd' ? digits : kind == 'w' ? word : most ? kMoreSpaces : kSpaces;
}

class PatternParser : private Cursor {
 public:
  PatternParser(absl::string_view pattern, const Limits& limits, Grammar* grammar)
      : Cursor(pattern), limits_(limits), g_(*grammar) {}

  absl::StatusOr<ExprId> Parse() {
    const ExprId anything = g_.Repeat(g_.Class({{0, kMaxCodePoint}}), 0, Grammar::kUnlimited);
    std::vector<ExprId> ways;
    do {
      const bool from_start = Take("^");
      SLUICE_ASSIGN_OR_RETURN(const ExprId middle, ParseSequence(0));
      std::vector<ExprId> parts;
      if (!from_start) parts.push_back(anything);
      parts.push_back(middle);
      if (!Take("$")) parts.push_back(anything);
      ways.push_back(g_.Sequence(std::move(parts)));
    } while (Take("|"));
    if (!AtEnd()) return Error(absl::StrCat("unexpected ", text_.substr(at_, 1)));
    return g_.Choice(std::move(ways));
  }

 private:
  std::string Place() const override {
    return absl::StrCat("pattern \"", text_.substr(0, 200), "\", byte ", at_);
  }

  absl::StatusOr<ExprId> ParseGroup(int depth) {
    if (depth > limits_.depth) return TooMuch("groups in each other", limits_.depth);
    std::vector<ExprId> ways;
    do {
      SLUICE_ASSIGN_OR_RETURN(const ExprId way, ParseSequence(depth));
      ways.push_back(way);
    } while (Take("|"));
    if (!Take(")"))
      return Error(AtEnd()
                       ? "expected )"
                       : absl::StrCat(text_.substr(at_, 1), " inside a group is not supported"));
    return g_.Choice(std::move(ways));
  }

  // Parses up to | ) ^ $ or the end.
  absl::StatusOr<ExprId> ParseSequence(int depth) {
    std::vector<ExprId> parts;
    while (!AtEnd() && !absl::StrContains("|)^$", Peek())) {
      if (g_.num_exprs() > limits_.expressions) return TooMuch("expressions", limits_.expressions);
      SLUICE_ASSIGN_OR_RETURN(const ExprId atom, ParseAtom(depth));
      SLUICE_ASSIGN_OR_RETURN(const ExprId repeated, ParseQuantifier(atom));
      parts.push_back(repeated);
    }
    return g_.Sequence(std::move(parts));
  }

  absl::StatusOr<ExprId> ParseAtom(int depth) {
    if (Take("(?:")) return ParseGroup(depth + 1);
    if (text_.substr(at_, 2) == "(?")
      return Error("(? other than (?: is not supported: look-around, named groups, flags");
    if (Take("(")) return ParseGroup(depth + 1);
    if (Take("[")) return ParseClass();
    if (Take(".")) return g_.Class(ComplementRanges(kLineEnds));
    if (absl::StrContains("*+?{}]", Peek()))
      return Error(absl::StrCat("unexpected ", text_.substr(at_, 1)));
    SLUICE_ASSIGN_OR_RETURN(Ranges ranges, ParseChars(/*in_class=*/false, /*most=*/false));
    return g_.Class(std::move(ranges));
  }

  absl::StatusOr<ExprId> ParseQuantifier(ExprId atom) {
    int32_t min = 0, max = Grammar::kUnlimited;
    if (Take("*")) {
    } else if (Take("+")) {
      min = 1;
    } else if (Take("?")) {
      max = 1;
    } else if (Take("{")) {
      SLUICE_ASSIGN_OR_RETURN(min, ParseCount(limits_.repetitions));
      max = min;
      if (Take(",")) {
        max = Grammar::kUnlimited;
        if (Peek() != '}') {
          SLUICE_ASSIGN_OR_RETURN(max, ParseCount(limits_.repetitions));
          if (max < min)
            return Error(absl::StrCat("{", min, ",", max, "} has its bounds the wrong way round"));
        }
      }
      if (!Take("}")) return Error("expected }");
    } else {
      return atom;
    }
    Take("?");  // lazy: the same texts match
    if (absl::StrContains("*+?{", Peek()) && !AtEnd())
      return Error("a quantifier after a quantifier is not supported");
    return g_.Repeat(atom, min, max);
  }

  absl::StatusOr<ExprId> ParseClass() {
    const bool negated = Take("^");
    Ranges ranges;
    while (!Take("]")) {
      SLUICE_ASSIGN_OR_RETURN(Ranges first, ParseChars(/*in_class=*/true, negated));
      if (Peek() == '-' && text_.substr(at_ + 1, 1) != "]" && at_ + 1 < text_.size()) {
        ++at_;
        SLUICE_ASSIGN_OR_RETURN(const Ranges last, ParseChars(/*in_class=*/true, negated));
        if (first.size() != 1 || first[0].first != first[0].last || last.size() != 1 ||
            last[0].first != last[0].last || last[0].first < first[0].first) {
          return Error("not a range of characters");
        }
        first[0].last = last[0].last;
      }
      ranges.insert(ranges.end(), first.begin(), first.end());
    }
    ranges = NormalizedRanges(std::move(ranges));
    return g_.Class(negated ? ComplementRanges(ranges) : ranges);
  }

  // One character, or the class of an escape (`most` as in EscapedClass).
  absl::StatusOr<Ranges> ParseChars(bool in_class, bool most) {
    if (AtEnd()) return Error("it ends inside a class");
    if (!Take("\\")) {
      const CodePoint c = FirstCodePoint(text_.substr(at_));
      if (c.size == 0) return Error("malformed UTF-8");
      at_ += c.size;
      return Ranges{{c.value, c.value}};
    }
    const char kind = Peek();
    ++at_;
    const auto one = [](uint32_t c) { return Ranges{{c, c}}; };
    switch (kind) {
      case 'd':
      case 'w':
      case 's':
        return EscapedClass(kind, most);
      case 'D':
      case 'W':
      case 'S':
        return ComplementRanges(EscapedClass(absl::ascii_tolower(kind), !most));
      case 't':
        return one('\t');
      case 'n':
        return one('\n');
      case 'r':
        return one('\r');
      case 'f':
        return one('\f');
      case 'v':
        return one('\v');
      case '0':
        if (!absl::ascii_isdigit(Peek())) return one(0);
        break;
      case 'b':
        if (in_class) return one('\b');
        break;
      case 'x':
      case 'u': {
        const absl::string_view digits =
            text_.substr(std::min(at_, text_.size()), kind == 'x' ? 2 : 4);
        uint32_t value;
        if (digits.size() != (kind == 'x' ? 2u : 4u) || !absl::SimpleHexAtoi(digits, &value) ||
            !absl::ascii_isxdigit(digits[0]) || !absl::ascii_isxdigit(digits[1]) ||
            (value >= 0xD800 && value <= 0xDFFF)) {
          return Error("expected the hexadecimal digits of a character");
        }
        at_ += digits.size();
        return one(value);
      }
      default:
        if (absl::ascii_ispunct(kind)) return one(static_cast<uint8_t>(kind));
    }
    at_ -= 2;
    return Error(absl::StrCat("the escape ", text_.substr(at_, 2), " is not supported"));
  }

  const Limits& limits_;
  Grammar& g_;
};

}  // namespace

absl::StatusOr<Grammar::ExprId> PatternExpr(absl::string_view pattern, const Limits& limits,
                                            Grammar* characters) {
  return PatternParser(pattern, limits, characters).Parse();
}

}  // namespace sluice::grammar
