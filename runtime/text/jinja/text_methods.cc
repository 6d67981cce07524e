// Methods of str.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/access.h"
#include "runtime/text/jinja/builtin.h"
#include "runtime/text/jinja/format.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/text.h"
#include "runtime/text/jinja/text_tools.h"

namespace sluice::jinja {
namespace {

const std::string& Self(const Invocation& call) { return call.self.text(); }

Value Result(Invocation& call, std::string text) {
  return call.runtime.String(std::move(text), call.self.is_markup());
}

template <std::string (*map)(absl::string_view)>
absl::StatusOr<Value> MappedMethod(Invocation& call) {
  return Result(call, map(Self(call)));
}

std::string CaseFold(absl::string_view text) {
  std::string out = ToLower(text);
  for (size_t at = out.find("\u00DF"); at != std::string::npos; at = out.find("\u00DF", at)) {
    out.replace(at, 2, "ss");
  }
  return out;
}

template <bool left, bool right>
absl::StatusOr<Value> Stripped(Invocation& call) {
  if (!call.Has(0) || call.args[0].is_none()) {
    return Result(call, std::string(Strip(Self(call), nullptr, left, right)));
  }
  JINJA_ASSIGN_OR_RETURN(const std::string chars, call.Text(0, ""));
  return Result(call, std::string(Strip(Self(call), &chars, left, right)));
}

template <bool from_right>
absl::StatusOr<Value> Split(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const int64_t limit, call.Int(1, -1));
  std::vector<absl::string_view> parts;
  if (!call.Has(0) || call.args[0].is_none()) {
    parts = SplitAtSpace(Self(call), limit, from_right);
  } else {
    JINJA_ASSIGN_OR_RETURN(const std::string separator, call.Text(0, ""));
    if (separator.empty()) return Error("empty separator");
    parts = SplitAt(Self(call), separator, limit, from_right);
  }
  return TextList(call.runtime, parts, call.self.is_markup());
}

absl::StatusOr<Value> Lines(Invocation& call) {
  const bool keep_ends = call.Bool(0, false);
  return TextList(call.runtime, SplitLines(Self(call), keep_ends), call.self.is_markup());
}

template <bool from_right>
absl::StatusOr<Value> Partition(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::string separator, call.Text(0, ""));
  if (separator.empty()) return Error("empty separator");
  const std::string& text = Self(call);
  const size_t at = from_right ? text.rfind(separator) : text.find(separator);
  std::string parts[3];
  if (at == std::string::npos) {
    parts[from_right ? 2 : 0] = text;
  } else {
    parts[0] = text.substr(0, at);
    parts[1] = separator;
    parts[2] = text.substr(at + separator.size());
  }
  std::vector<Value> values;
  for (std::string& part : parts) values.push_back(Result(call, std::move(part)));
  return call.runtime.Tuple(std::move(values));
}

// The part of the text between the optional bounds args[1] and args[2], and where it starts.
struct Window {
  std::string text;
  int64_t start;
  bool is_empty_range;  // the start lies behind the end: nothing is found, not even ""
};

absl::StatusOr<Window> Bounded(Invocation& call) {
  if (!call.Has(1)) return Window{Self(call), 0, false};
  JINJA_ASSIGN_OR_RETURN(const Value part,
                         GetSlice(call.runtime, call.self, call.args[1], call.args[2], Value()));
  const int64_t length = call.self.string().length;
  int64_t start = 0, stop = length;
  if (!call.args[1].is_none()) {
    JINJA_ASSIGN_OR_RETURN(start, call.Int(1, 0));
  }
  if (call.Has(2) && !call.args[2].is_none()) {
    JINJA_ASSIGN_OR_RETURN(stop, call.Int(2, 0));
  }
  if (start < 0) start = std::max<int64_t>(start + length, 0);
  if (stop < 0) stop = std::max<int64_t>(stop + length, 0);
  return Window{part.text(), start, start > std::min(stop, length)};
}

template <bool from_right, bool must_be_there>
absl::StatusOr<Value> Find(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::string wanted, call.Text(0, ""));
  JINJA_ASSIGN_OR_RETURN(const Window window, Bounded(call));
  const size_t at = from_right ? window.text.rfind(wanted) : window.text.find(wanted);
  if (at != std::string::npos && !window.is_empty_range) {
    return Value::Int(window.start + CountCodePoints(absl::string_view(window.text).substr(0, at)));
  }
  if (must_be_there) return Error("substring not found");
  return Value::Int(-1);
}

absl::StatusOr<Value> CountMethod(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::string wanted, call.Text(0, ""));
  JINJA_ASSIGN_OR_RETURN(const Window window, Bounded(call));
  if (window.is_empty_range) return Value::Int(0);
  if (wanted.empty()) return Value::Int(CountCodePoints(window.text) + 1);
  int64_t count = 0;
  for (size_t at = window.text.find(wanted); at != std::string::npos;
       at = window.text.find(wanted, at + wanted.size())) {
    ++count;
  }
  return Value::Int(count);
}

template <bool at_end>
absl::StatusOr<Value> HasAffix(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const Window window, Bounded(call));
  const Value& given = call.args[0];
  const std::vector<Value> affixes = given.is_tuple() ? given.items() : std::vector<Value>{given};
  for (const Value& affix : affixes) {
    if (affix.is_undefined()) return Error(affix.undefined().message);
    if (!affix.is_string()) {
      return Error(at_end ? "endswith" : "startswith",
                   " first arg must be str or a tuple of str, not ", TypeName(affix));
    }
    if (window.is_empty_range) continue;
    if (at_end ? absl::EndsWith(window.text, affix.text())
               : absl::StartsWith(window.text, affix.text())) {
      return Value::Bool(true);
    }
  }
  return Value::Bool(false);
}

template <bool at_end>
absl::StatusOr<Value> RemoveAffix(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::string affix, call.Text(0, ""));
  const std::string& text = Self(call);
  if (at_end ? !absl::EndsWith(text, affix) : !absl::StartsWith(text, affix)) return call.self;
  return Result(call,
                at_end ? text.substr(0, text.size() - affix.size()) : text.substr(affix.size()));
}

absl::StatusOr<Value> ReplaceMethod(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(std::string from, call.Text(0, ""));
  JINJA_ASSIGN_OR_RETURN(std::string to, call.Text(1, ""));
  JINJA_ASSIGN_OR_RETURN(const int64_t limit, call.Int(2, -1));
  if (call.self.is_markup() && !call.args[1].is_markup()) to = EscapeHtml(to);
  JINJA_ASSIGN_OR_RETURN(std::string text, ReplaceText(call.runtime, Self(call), from, to, limit));
  return Result(call, std::move(text));
}

absl::StatusOr<Value> JoinMethod(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::vector<Value> items, Items(call.runtime, call.args[0]));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!items[i].is_string()) {
      return Error("sequence item ", i, ": expected str instance, ", TypeName(items[i]), " found");
    }
    const bool escape = call.self.is_markup() && !items[i].is_markup();
    JINJA_RETURN_IF_ERROR(call.runtime.Step(items[i].Size()));
    JINJA_RETURN_IF_ERROR(call.runtime.CheckRoom(
        static_cast<int64_t>(out.size() + Self(call).size() + items[i].text().size())));
    absl::StrAppend(&out, i == 0 ? "" : Self(call),
                    escape ? EscapeHtml(items[i].text()) : items[i].text());
  }
  return Result(call, std::move(out));
}

template <char align>
absl::StatusOr<Value> Justify(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const int64_t width, call.Int(0, 0));
  JINJA_ASSIGN_OR_RETURN(const std::string fill, call.Text(1, " "));
  if (CountCodePoints(fill) != 1) {
    return Error("The fill character must be exactly one character long");
  }
  JINJA_ASSIGN_OR_RETURN(std::string text, PadText(call.runtime, Self(call), width, fill, align));
  return Result(call, std::move(text));
}

absl::StatusOr<Value> ZeroFill(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const int64_t width, call.Int(0, 0));
  const std::string& text = Self(call);
  const size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  JINJA_ASSIGN_OR_RETURN(std::string padded, PadText(call.runtime, text.substr(sign),
                                                     width - static_cast<int64_t>(sign), "0", '>'));
  return Result(call, absl::StrCat(text.substr(0, sign), padded));
}

absl::StatusOr<Value> ExpandTabs(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const int64_t size, call.Int(0, 8));
  std::string out;
  int64_t column = 0;
  for (const char c : Self(call)) {
    if (c == '\t') {
      const int64_t blanks = size > 0 ? size - column % size : 0;
      JINJA_RETURN_IF_ERROR(call.runtime.CheckRoom(blanks + static_cast<int64_t>(out.size())));
      JINJA_RETURN_IF_ERROR(call.runtime.Step(blanks / 64));
      out.append(static_cast<size_t>(blanks), ' ');
      column += blanks;
    } else {
      out += c;
      column = c == '\n' || c == '\r' ? 0 : column + ((static_cast<uint8_t>(c) & 0xC0) != 0x80);
    }
  }
  return Result(call, std::move(out));
}

absl::StatusOr<Value> FormatMethod(Invocation& call) {
  return FormatBraces(call.runtime, call.self, call.given);
}

// Whether there are code points, and all are of a class.
template <bool (*is_class)(uint32_t)>
absl::StatusOr<Value> AllAre(Invocation& call) {
  const std::vector<uint32_t> codes = CodePoints(Self(call));
  return Value::Bool(!codes.empty() && std::all_of(codes.begin(), codes.end(), is_class));
}

bool IsAlphanumeric(uint32_t code) { return IsAlpha(code) || IsNumeric(code); }

absl::StatusOr<Value> AllAscii(Invocation& call) { return Value::Bool(call.self.string().ascii()); }

absl::StatusOr<Value> AllPrintable(Invocation& call) {
  const std::vector<uint32_t> codes = CodePoints(Self(call));
  return Value::Bool(std::all_of(codes.begin(), codes.end(), IsPrintable));
}

absl::StatusOr<Value> IsIdentifier(Invocation& call) {
  const std::vector<uint32_t> codes = CodePoints(Self(call));
  return Value::Bool(!codes.empty() && !IsNumeric(codes[0]) &&
                     std::all_of(codes.begin(), codes.end(), IsWordCharacter));
}

absl::StatusOr<Value> AllUpper(Invocation& call) {
  return Value::Bool(HasOnlyCase(Self(call), /*upper=*/true));
}

absl::StatusOr<Value> AllLower(Invocation& call) {
  return Value::Bool(HasOnlyCase(Self(call), /*upper=*/false));
}

absl::StatusOr<Value> AllTitle(Invocation& call) {
  bool any = false, inside_word = false;
  for (const uint32_t code : CodePoints(Self(call))) {
    const bool starts = IsUpper(code) || IsTitle(code);
    if (starts ? inside_word : IsLower(code) && !inside_word) return Value::Bool(false);
    inside_word = starts || IsLower(code);
    any |= inside_word;
  }
  return Value::Bool(any);
}

constexpr Builtin kMethods[] = {
    {"capitalize", "/", &MappedMethod<Capitalize>},
    {"casefold", "/", &MappedMethod<CaseFold>},
    {"center", "/width fillchar?", &Justify<'^'>},
    {"count", "/sub start? end?", &CountMethod},
    {"endswith", "/suffix start? end?", &HasAffix<true>},
    {"expandtabs", "tabsize?", &ExpandTabs},
    {"find", "/sub start? end?", &Find<false, false>},
    {"format", "*", &FormatMethod},
    {"index", "/sub start? end?", &Find<false, true>},
    {"isalnum", "/", &AllAre<IsAlphanumeric>},
    {"isalpha", "/", &AllAre<IsAlpha>},
    {"isascii", "/", &AllAscii},
    {"isdecimal", "/", &AllAre<IsDecimal>},
    {"isdigit", "/", &AllAre<IsDigit>},
    {"isidentifier", "/", &IsIdentifier},
    {"islower", "/", &AllLower},
    {"isnumeric", "/", &AllAre<IsNumeric>},
    {"isprintable", "/", &AllPrintable},
    {"isspace", "/", &AllAre<IsSpace>},
    {"istitle", "/", &AllTitle},
    {"isupper", "/", &AllUpper},
    {"join", "/iterable", &JoinMethod},
    {"ljust", "/width fillchar?", &Justify<'<'>},
    {"lower", "/", &MappedMethod<ToLower>},
    {"lstrip", "/chars?", &Stripped<true, false>},
    {"partition", "/sep", &Partition<false>},
    {"removeprefix", "/prefix", &RemoveAffix<false>},
    {"removesuffix", "/suffix", &RemoveAffix<true>},
    {"replace", "/old new count?", &ReplaceMethod},
    {"rfind", "/sub start? end?", &Find<true, false>},
    {"rindex", "/sub start? end?", &Find<true, true>},
    {"rjust", "/width fillchar?", &Justify<'>'>},
    {"rpartition", "/sep", &Partition<true>},
    {"rsplit", "sep? maxsplit?", &Split<true>},
    {"rstrip", "/chars?", &Stripped<false, true>},
    {"split", "sep? maxsplit?", &Split<false>},
    {"splitlines", "keepends?", &Lines},
    {"startswith", "/prefix start? end?", &HasAffix<false>},
    {"strip", "/chars?", &Stripped<true, true>},
    {"swapcase", "/", &MappedMethod<SwapCase>},
    {"title", "/", &MappedMethod<ToTitle>},
    {"upper", "/", &MappedMethod<ToUpper>},
    {"zfill", "/width", &ZeroFill},
};

}  // namespace

absl::Span<const Builtin> TextMethods() { return kMethods; }

}  // namespace sluice::jinja
