// Filters that make text.
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "runtime/text/jinja/builtin.h"
#include "runtime/text/jinja/format.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/text.h"
#include "runtime/text/jinja/text_tools.h"
#include "runtime/text/jinja/tojson.h"

namespace sluice::jinja {
namespace {

// The input as text, which stays marked as safe if it was.
absl::StatusOr<Value> Soft(Invocation& call) {
  if (call.self.is_string()) return call.self;
  JINJA_ASSIGN_OR_RETURN(std::string text, Str(call.runtime, call.self));
  return call.runtime.String(std::move(text));
}

template <std::string (*map)(absl::string_view)>
absl::StatusOr<Value> Mapped(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const Value text, Soft(call));
  return call.runtime.String(map(text.text()), text.is_markup());
}

// Unlike str.title, words start after blanks, dashes and opening brackets only.
absl::StatusOr<Value> Title(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const Value text, Soft(call));
  std::string out;
  size_t word = 0;
  const auto flush = [&](size_t end) {
    const absl::string_view part = absl::string_view(text.text()).substr(word, end - word);
    const size_t first = ByteOffset(part, 1);
    absl::StrAppend(&out, ToUpper(part.substr(0, first)), ToLower(part.substr(first)));
  };
  for (size_t at = 0; at < text.text().size();) {
    const size_t begin = at;
    const uint32_t code = NextCodePoint(text.text(), &at);
    if (IsSpace(code) || (code < 0x80 && absl::StrContains("-({[<", static_cast<char>(code)))) {
      flush(begin);
      out.append(text.text(), begin, at - begin);
      word = at;
    }
  }
  flush(text.text().size());
  return call.runtime.String(std::move(out));
}

absl::StatusOr<Value> Trim(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const Value text, Soft(call));
  const bool has_chars = call.Has(0) && !call.args[0].is_none();
  JINJA_ASSIGN_OR_RETURN(const std::string chars, has_chars ? call.Text(0, "") : std::string());
  return call.runtime.String(
      std::string(Strip(text.text(), has_chars ? &chars : nullptr, true, true)), text.is_markup());
}

absl::StatusOr<Value> Replace(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::string text, Str(call.runtime, call.self));
  JINJA_ASSIGN_OR_RETURN(const std::string from, Str(call.runtime, call.args[0]));
  JINJA_ASSIGN_OR_RETURN(const std::string to, Str(call.runtime, call.args[1]));
  int64_t limit = -1;
  if (call.Has(2) && !call.args[2].is_none()) {
    JINJA_ASSIGN_OR_RETURN(limit, call.Int(2, -1));
  }
  JINJA_ASSIGN_OR_RETURN(std::string replaced, ReplaceText(call.runtime, text, from, to, limit));
  return call.runtime.String(std::move(replaced));
}

absl::StatusOr<Value> Center(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const Value text, Soft(call));
  JINJA_ASSIGN_OR_RETURN(const int64_t width, call.Int(0, 80));
  JINJA_ASSIGN_OR_RETURN(std::string padded, PadText(call.runtime, text.text(), width, " ", '^'));
  return call.runtime.String(std::move(padded), text.is_markup());
}

absl::Status NeedsText(const Invocation& call, absl::string_view filter) {
  if (call.self.is_undefined()) return Error(call.self.undefined().message);
  if (call.self.is_string()) return absl::OkStatus();
  return Error(filter, " wants text, not '", TypeName(call.self), "'");
}

absl::StatusOr<Value> Indent(Invocation& call) {
  JINJA_RETURN_IF_ERROR(NeedsText(call, "indent"));
  std::string indent;
  if (call.Has(0) && call.args[0].is_string()) {
    indent = call.args[0].text();
  } else {
    JINJA_ASSIGN_OR_RETURN(const int64_t width, call.Int(0, 4));
    JINJA_RETURN_IF_ERROR(call.runtime.CheckRoom(width));
    indent.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool first = call.Bool(1, false);
  const bool blank = call.Bool(2, false);
  const std::string text = call.self.text() + "\n";
  const std::vector<absl::string_view> lines = SplitLines(text, false);
  JINJA_RETURN_IF_ERROR(
      call.runtime.Step(static_cast<int64_t>(lines.size() * (1 + indent.size() / 64))));
  JINJA_RETURN_IF_ERROR(
      call.runtime.CheckRoom(static_cast<int64_t>(text.size() + lines.size() * indent.size())));
  std::string out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if (i == 0 ? first : blank || !lines[i].empty()) out += indent;
    absl::StrAppend(&out, lines[i]);
  }
  return call.runtime.String(std::move(out), call.self.is_markup());
}

absl::StatusOr<Value> Truncate(Invocation& call) {
  JINJA_RETURN_IF_ERROR(NeedsText(call, "truncate"));
  JINJA_ASSIGN_OR_RETURN(const int64_t length, call.Int(0, 255));
  const bool cuts_words = call.Bool(1, false);
  JINJA_ASSIGN_OR_RETURN(const std::string end, call.Text(2, "..."));
  const bool has_leeway = call.Has(3) && !call.args[3].is_none();
  JINJA_ASSIGN_OR_RETURN(const int64_t leeway, has_leeway ? call.Int(3, 5) : int64_t{5});
  const int64_t kept = length - CountCodePoints(end);
  if (kept < 0 || leeway < 0) {
    return Error("truncate wants a length of at least that of the end, and no negative leeway");
  }
  if (call.self.string().length - length <= leeway) return call.self;
  std::string text = call.self.text().substr(0, ByteOffset(call.self.text(), kept));
  const size_t blank = text.rfind(' ');
  if (!cuts_words && blank != std::string::npos) text.resize(blank);
  return call.runtime.String(text + end, call.self.is_markup());
}

absl::StatusOr<Value> WordCount(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const Value text, Soft(call));
  int64_t count = 0;
  bool inside = false;
  for (const uint32_t code : CodePoints(text.text())) {
    const bool is_word = IsWordCharacter(code);
    count += is_word && !inside;
    inside = is_word;
  }
  return Value::Int(count);
}

absl::StatusOr<Value> Escape(Invocation& call) {
  if (call.self.is_markup()) return call.self;
  JINJA_ASSIGN_OR_RETURN(const std::string text, Str(call.runtime, call.self));
  return call.runtime.String(EscapeHtml(text), /*markup=*/true);
}

absl::StatusOr<Value> ForceEscape(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::string text, Str(call.runtime, call.self));
  return call.runtime.String(EscapeHtml(text), /*markup=*/true);
}

absl::StatusOr<Value> Safe(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(std::string text, Str(call.runtime, call.self));
  return call.runtime.String(std::move(text), /*markup=*/true);
}

absl::StatusOr<Value> Format(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const Value text, Soft(call));
  if (!call.given.positional.empty() && !call.given.named.empty()) {
    return Error("format takes positional or keyword arguments, not both");
  }
  if (call.given.named.empty()) {
    return FormatPercent(call.runtime, text, call.runtime.Tuple(call.given.positional));
  }
  std::vector<DictData::Entry> entries;
  for (const auto& [name, value] : call.given.named) {
    entries.emplace_back(call.runtime.String(name), value);
  }
  return FormatPercent(call.runtime, text, Value::Dict(std::move(entries), call.runtime.memory()));
}

std::string QuoteUrl(absl::string_view text, bool in_query) {
  std::string out;
  for (const char c : text) {
    const bool plain = absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                       absl::StrContains("_.-~", c) || (c == '/' && !in_query);
    if (plain) {
      out += c;
    } else if (c == ' ' && in_query) {
      out += '+';
    } else {
      absl::StrAppendFormat(&out, "%%%02X", static_cast<uint8_t>(c));
    }
  }
  return out;
}

absl::StatusOr<Value> UrlEncode(Invocation& call) {
  if (call.self.is_string() || !IsIterable(call.self)) {
    JINJA_ASSIGN_OR_RETURN(const std::string text, Str(call.runtime, call.self));
    return call.runtime.String(QuoteUrl(text, false));
  }
  std::vector<std::string> parts;
  const auto add = [&](const Value& key, const Value& value) -> absl::Status {
    JINJA_ASSIGN_OR_RETURN(const std::string name, Str(call.runtime, key));
    JINJA_ASSIGN_OR_RETURN(const std::string text, Str(call.runtime, value));
    parts.push_back(absl::StrCat(QuoteUrl(name, true), "=", QuoteUrl(text, true)));
    return absl::OkStatus();
  };
  if (call.self.is_dict()) {
    for (const auto& [key, value] : call.self.dict().entries()) {
      JINJA_RETURN_IF_ERROR(add(key, value));
    }
  } else {
    JINJA_ASSIGN_OR_RETURN(const std::vector<Value> pairs, Items(call.runtime, call.self));
    for (const Value& pair : pairs) {
      JINJA_ASSIGN_OR_RETURN(const std::vector<Value> both, Items(call.runtime, pair));
      if (both.size() != 2) return Error("urlencode wants pairs of a name and a value");
      JINJA_RETURN_IF_ERROR(add(both[0], both[1]));
    }
  }
  return call.runtime.String(absl::StrJoin(parts, "&"));
}

absl::StatusOr<Value> XmlAttributes(Invocation& call) {
  if (!call.self.is_dict()) return Error("xmlattr wants a mapping");
  const bool space = call.Bool(0, true);
  std::string out;
  for (const auto& [key, value] : call.self.dict().entries()) {
    if (value.is_none() || value.is_undefined()) continue;
    if (!key.is_string() || key.text().find_first_of(" \t\n\r\f\v/>=") != std::string::npos) {
      return Error("invalid character in the name of an attribute");
    }
    JINJA_ASSIGN_OR_RETURN(const std::string text, Str(call.runtime, value));
    JINJA_RETURN_IF_ERROR(
        call.runtime.CheckRoom(static_cast<int64_t>(out.size() + 6 * text.size())));
    absl::StrAppend(&out, space || !out.empty() ? " " : "", EscapeHtml(key.text()), "=\"",
                    value.is_markup() ? text : EscapeHtml(text), "\"");
  }
  return call.runtime.String(std::move(out));
}

absl::StatusOr<Value> ToJson(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const JsonStyle style, ParseJsonStyle(call.runtime, call.args));
  JINJA_ASSIGN_OR_RETURN(std::string text, WriteJson(call.runtime, call.self, style));
  return call.runtime.String(std::move(text));
}

constexpr Builtin kTextFilters[] = {
    {"capitalize", "", &Mapped<Capitalize>},
    {"center", "width?", &Center},
    {"e", "", &Escape},
    {"escape", "", &Escape},
    {"forceescape", "", &ForceEscape},
    {"format", "*", &Format},
    {"indent", "width? first? blank?", &Indent},
    {"lower", "", &Mapped<ToLower>},
    {"replace", "old new count?", &Replace},
    {"safe", "", &Safe},
    {"string", "", &Soft},
    {"title", "", &Title},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", &ToJson},
    {"trim", "chars?", &Trim},
    {"truncate", "length? killwords? end? leeway?", &Truncate},
    {"upper", "", &Mapped<ToUpper>},
    {"urlencode", "", &UrlEncode},
    {"wordcount", "", &WordCount},
    {"xmlattr", "autospace?", &XmlAttributes},
};

}  // namespace

absl::Span<const Builtin> TextFilters() { return kTextFilters; }

}  // namespace sluice::jinja
