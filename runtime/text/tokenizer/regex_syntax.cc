// Rewriting Oniguruma's syntax to PCRE2's, one pass from left to right.
#include <algorithm>
#include <iterator>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"
#include "runtime/text/tokenizer/regex.h"

namespace sluice {
namespace {

// Members of classes, in PCRE2's terms. Oniguruma counts Latin-1's fractions and superscripts, and
// no other such numbers, as word characters, but not in [...], where \w is [:word:].
constexpr char kWordClass[] = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\xb2\\xb3\\xb9\\xbc-\\xbe";
constexpr char kPosixWordClass[] = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
constexpr char kHexClass[] = "0-9a-fA-F";
// Behind each property stand the characters that got it in Unicode 15 and 16: PCRE2 10.42 has 14,
// Hugging Face's Oniguruma 16.
constexpr char kAlphaClass[] =
    "\\p{Alphabetic}\\x{363}-\\x{36f}\\x{c04}\\x{f82}\\x{f83}\\x{1dd3}-\\x{1de6}\\x{11080}\\x{"
    "11081}";
constexpr char kAlnumClass[] =
    "\\p{Nd}\\p{Alphabetic}\\x{363}-\\x{36f}\\x{c04}\\x{f82}\\x{f83}\\x{1dd3}-\\x{1de6}\\x{11080}"
    "\\x{11081}";
constexpr char kLowerClass[] = "\\p{Lowercase}\\x{10fc}\\x{a7f2}-\\x{a7f4}\\x{ab69}";

struct NamedClass {
  const char* name;
  const char* members;
};
// [:name:]
constexpr NamedClass kPosixClasses[] = {
    {"alpha", kAlphaClass},
    {"digit", "\\p{Nd}"},
    {"alnum", kAlnumClass},
    {"upper", "\\p{Uppercase}"},
    {"lower", kLowerClass},
    {"space", "\\p{White_Space}"},
    {"blank", "\\p{Zs}\\t"},
    {"cntrl", "\\p{Cc}"},
    {"punct", "\\p{P}\\p{S}"},
    {"xdigit", kHexClass},
    {"word", kPosixWordClass},
    {"ascii", "\\x00-\\x7f"},
    {"graph", "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Cf}\\p{Co}"},
    {"print", "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Cf}\\p{Co}\\p{Zs}"}};

// \p{name} of general categories, which PCRE2 knows by their letters alone.
constexpr NamedClass kCategories[] = {{"letter", "L"},
                                      {"casedletter", "L&"},
                                      {"uppercaseletter", "Lu"},
                                      {"lowercaseletter", "Ll"},
                                      {"titlecaseletter", "Lt"},
                                      {"modifierletter", "Lm"},
                                      {"otherletter", "Lo"},
                                      {"mark", "M"},
                                      {"nonspacingmark", "Mn"},
                                      {"spacingmark", "Mc"},
                                      {"enclosingmark", "Me"},
                                      {"number", "N"},
                                      {"decimalnumber", "Nd"},
                                      {"letternumber", "Nl"},
                                      {"othernumber", "No"},
                                      {"punctuation", "P"},
                                      {"connectorpunctuation", "Pc"},
                                      {"dashpunctuation", "Pd"},
                                      {"openpunctuation", "Ps"},
                                      {"closepunctuation", "Pe"},
                                      {"initialpunctuation", "Pi"},
                                      {"finalpunctuation", "Pf"},
                                      {"otherpunctuation", "Po"},
                                      {"symbol", "S"},
                                      {"mathsymbol", "Sm"},
                                      {"currencysymbol", "Sc"},
                                      {"modifiersymbol", "Sk"},
                                      {"othersymbol", "So"},
                                      {"separator", "Z"},
                                      {"spaceseparator", "Zs"},
                                      {"lineseparator", "Zl"},
                                      {"paragraphseparator", "Zp"},
                                      {"other", "C"},
                                      {"control", "Cc"},
                                      {"format", "Cf"},
                                      {"unassigned", "Cn"},
                                      {"privateuse", "Co"},
                                      {"punct", "P"}};

// How Oniguruma compares names of properties.
std::string PlainName(absl::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c != ' ' && c != '_' && c != '-') plain.push_back(absl::ascii_tolower(c));
  }
  return plain;
}

// Names of three letters and more that are not scripts.
constexpr const char* kBinaryProperties[] = {
    "White_Space",           "Any",        "Uppercase", "Emoji", "Emoji_Presentation",
    "Extended_Pictographic", "Ideographic"};

class Rewriter {
 public:
  explicit Rewriter(absl::string_view pattern) : in_(pattern) {}

  absl::StatusOr<std::string> Run() {
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if (c == '\\') {
        SLUICE_RETURN_IF_ERROR(Escape());
      } else if (in_class_) {
        SLUICE_RETURN_IF_ERROR(InClass());
      } else if (c == '[') {
        OpenClass();
      } else if (c == '(') {
        SLUICE_RETURN_IF_ERROR(OpenGroup());
      } else if (c == ')') {
        atom_ = groups_.empty() ? out_.size() : groups_.back();
        if (!groups_.empty()) groups_.pop_back();
        Copy(1);
      } else if (c == '{') {
        Interval();
      } else if (c == '*' || c == '+' || c == '?') {
        Copy(1);
      } else {
        atom_ = out_.size();
        Copy(1);
        while (at_ < in_.size() && (static_cast<uint8_t>(in_[at_]) & 0xC0) == 0x80) Copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  absl::Status Unsupported(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("the pattern \"", in_.substr(0, 200), "\" uses ",
                                                   what, " at byte ", at_,
                                                   ", which is not supported"));
  }

  void Copy(size_t n) {
    out_.append(in_.data() + at_, n);
    at_ += n;
  }

  void Replace(size_t n, absl::string_view with) {
    out_.append(with.data(), with.size());
    at_ += n;
  }

  absl::Status Escape() {
    if (at_ + 1 == in_.size()) return Unsupported("a backslash as its last character");
    if (!in_class_) atom_ = out_.size();
    switch (in_[at_ + 1]) {
      case 's':
        Replace(2, "\\p{White_Space}");
        break;  // PCRE2's \s has U+180E besides
      case 'S':
        Replace(2, "\\P{White_Space}");
        break;
      case 'w':
        Class(2, in_class_ ? kPosixWordClass : kWordClass, false);
        break;
      case 'W':
        Class(2, in_class_ ? kPosixWordClass : kWordClass, true);
        break;
      case 'h':
        Class(2, kHexClass, false);
        break;
      case 'H':
        Class(2, kHexClass, true);
        break;
      case 'b':  // a border of Oniguruma's words; in a class a backspace
      case 'B':
        if (in_class_) {
          Copy(2);
        } else {
          const absl::string_view before = in_[at_ + 1] == 'b' ? "!" : "=";
          Replace(2, absl::StrCat("(?:(?<=[", kWordClass, "])(?", before, "[", kWordClass,
                                  "])|(?<![", kWordClass, "])(?", before == "!" ? "=" : "!", "[",
                                  kWordClass, "]))"));
        }
        break;
      case 'v':
        Replace(2, "\\x0b");
        break;
      case 'Q':
      case 'E':
      case 'K':
      case 'O':
      case 'y':
      case 'Y':
        return Unsupported(absl::StrCat("\\", in_.substr(at_ + 1, 1)));
      case 'u':
        if (at_ + 6 > in_.size()) return Unsupported("\\u without four digits");
        for (int i = 2; i < 6; ++i) {
          if (!absl::ascii_isxdigit(static_cast<unsigned char>(in_[at_ + i]))) {
            return Unsupported("\\u without four digits");
          }
        }
        Replace(6, absl::StrCat("\\x{", in_.substr(at_ + 2, 4), "}"));
        break;
      case 'p':
      case 'P':
        Property();
        break;
      case 'x':
        Copy(Braced() > 0 ? Braced() : 2);
        break;
      default:
        Copy(2);
    }
    return absl::OkStatus();
  }

  // The size of \c{...} here, 0 where no braces follow.
  size_t Braced() const {
    const size_t close = in_.find('}', at_);
    const bool braced = at_ + 2 < in_.size() && in_[at_ + 2] == '{';
    return braced && close != absl::string_view::npos ? close + 1 - at_ : 0;
  }

  // Scripts mean the property Script, where PCRE2 takes Script_Extensions unless told.
  void Property() {
    const size_t size = Braced();
    if (size == 0) return Copy(2);
    absl::string_view name = in_.substr(at_ + 3, size - 4);
    const bool negated = absl::StartsWith(name, "^");
    if (negated) name.remove_prefix(1);
    const std::string plain = PlainName(name);
    const bool outside = negated != (in_[at_ + 1] == 'P');
    for (const NamedClass& category : kCategories) {
      if (plain != category.name) continue;
      return Replace(size, absl::StrCat(outside ? "\\P{" : "\\p{", category.members, "}"));
    }
    if (plain == "word") return Class(size, in_class_ ? kPosixWordClass : kWordClass, outside);
    if (plain == "alphabetic") return Class(size, kAlphaClass, outside);
    if (plain == "lowercase") return Class(size, kLowerClass, outside);
    for (const NamedClass& posix : kPosixClasses) {  // \p{Alpha} is [[:alpha:]]
      if (plain == posix.name) return Class(size, posix.members, outside);
    }
    const bool known =
        name.size() <= 2 || std::find(std::begin(kBinaryProperties), std::end(kBinaryProperties),
                                      name) != std::end(kBinaryProperties);
    Replace(size,
            absl::StrCat(in_.substr(at_, 3), negated ? "^" : "", known ? "" : "sc:", name, "}"));
  }

  // `n` characters of the pattern stand for these members, or for all but these.
  void Class(size_t n, absl::string_view members, bool negated) {
    if (!in_class_) return Replace(n, absl::StrCat(negated ? "[^" : "[", members, "]"));
    if (!negated) return Replace(n, members);
    complements_.push_back(absl::StrCat("[", members, "]"));
    at_ += n;
  }

  void OpenClass() {
    atom_ = out_.size();
    in_class_ = true;
    complements_.clear();
    Copy(1);
    class_negated_ = at_ < in_.size() && in_[at_] == '^';
    if (class_negated_) Copy(1);
    class_members_ = out_.size();
    if (at_ < in_.size() && in_[at_] == ']') Copy(1);
  }

  // PCRE2 has no members that are all but a set, so that the class becomes a group where it has
  // one: its other members or one of the complements, and the reverse where it is negated.
  void CloseClass() {
    in_class_ = false;
    Copy(1);
    if (complements_.empty()) return;
    std::string members = out_.substr(class_members_, out_.size() - class_members_ - 1);
    if (absl::StartsWith(members, "^")) members.insert(0, "\\");  // no longer behind another member
    out_.resize(atom_);
    out_ += "(?:";
    if (!members.empty() && class_negated_) absl::StrAppend(&out_, "(?![", members, "])");
    if (!members.empty() && !class_negated_) absl::StrAppend(&out_, "[", members, "]|");
    for (size_t i = 0; i < complements_.size(); ++i) {
      const bool last = i + 1 == complements_.size();
      const std::string& set = complements_[i];
      if (class_negated_) absl::StrAppend(&out_, last ? "" : "(?=", set, last ? "" : ")");
      if (!class_negated_) absl::StrAppend(&out_, "[^", set.substr(1), last ? "" : "|");
    }
    out_ += ")";
  }

  absl::Status InClass() {
    const absl::string_view rest = in_.substr(at_);
    if (rest[0] == ']') {
      CloseClass();
      return absl::OkStatus();
    } else if (absl::StartsWith(rest, "&&")) {
      return Unsupported("&& in a class");
    } else if (absl::StartsWith(rest, "[:")) {
      const size_t close = rest.find(":]");
      absl::string_view name = rest.substr(2, close == absl::string_view::npos ? 0 : close - 2);
      const bool negated = absl::ConsumePrefix(&name, "^");
      for (const NamedClass& posix : kPosixClasses) {
        if (name != posix.name) continue;
        Class(close + 2, posix.members, negated);
        return absl::OkStatus();
      }
      return Unsupported("a class [:name:] that is none of POSIX's, nor word, nor ascii");
    } else if (rest[0] == '[') {
      return Unsupported("a class in a class");
    }
    Copy(1);
    return absl::OkStatus();
  }

  absl::Status OpenGroup() {
    groups_.push_back(out_.size());
    Copy(1);
    if (at_ >= in_.size()) return absl::OkStatus();
    if (in_[at_] == '*') return Unsupported("(*");
    if (in_[at_] != '?') return absl::OkStatus();
    Copy(1);
    // Options: letters up to ':' or ')'. Ruby's m lets the dot match a newline, which is PCRE2's s.
    if (at_ >= in_.size() || (!absl::ascii_isalpha(in_[at_]) && in_[at_] != '-')) {
      return absl::OkStatus();
    }
    while (at_ < in_.size() && in_[at_] != ':' && in_[at_] != ')') {
      const char option = in_[at_];
      if (option == 'm') {
        Replace(1, "s");
      } else if (option == 'i' || option == 'x' || option == '-') {
        Copy(1);
      } else {
        return Unsupported(absl::StrCat("the option (?", in_.substr(at_, 1)));
      }
    }
    return absl::OkStatus();
  }

  // {n}, {n,}, {n,m} and {,m}. A '+' behind them repeats in Ruby's syntax and is possessive in
  // PCRE2's, so the repeated atom gets a group of its own.
  void Interval() {
    size_t close = at_ + 1;
    bool digits = false, comma = false;
    for (; close < in_.size() && in_[close] != '}'; ++close) {
      if (in_[close] == ',' && !comma) {
        comma = true;
      } else if (absl::ascii_isdigit(static_cast<unsigned char>(in_[close]))) {
        digits = true;
      } else {
        break;
      }
    }
    if (close >= in_.size() || in_[close] != '}' || !digits) {
      atom_ = out_.size();
      Copy(1);
      return;
    }
    const bool from_zero = in_[at_ + 1] == ',';
    const bool repeated = close + 1 < in_.size() && in_[close + 1] == '+';
    if (repeated) out_.insert(atom_, "(?:");
    Replace(1, from_zero ? "{0" : "{");
    Copy(close + 1 - at_);
    if (repeated) out_.push_back(')');
  }

  absl::string_view in_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = 0;             // where in out_ the last thing that can be repeated starts
  std::vector<size_t> groups_;  // where in out_ the open groups start
  bool in_class_ = false;
  bool class_negated_ = false;
  size_t class_members_ = 0;              // where in out_ the members of the open class start
  std::vector<std::string> complements_;  // classes whose complements are members of the open class
};

}  // namespace

absl::StatusOr<std::string> OnigurumaToPcre2(absl::string_view pattern) {
  return Rewriter(pattern).Run();
}

}  // namespace sluice
