// UTF-8, and case mappings from utf8proc with the few that make more than one code point.
#include "runtime/text/jinja/text.h"

#include <utf8proc.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sluice::jinja {
namespace {

utf8proc_category_t Category(uint32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

// From Unicode's SpecialCasing.txt, those without conditions that chats are likely to hold.
struct LongMapping {
  uint32_t code;
  const char* upper;
  const char* title;
};
constexpr LongMapping kLongMappings[] = {
    {0x00DF, "SS", "Ss"},           {0x0149, "\u02BCN", "\u02BCN"},
    {0x01F0, "J\u030C", "J\u030C"}, {0x0587, "\u0535\u0552", "\u0535\u0582"},
    {0x1E96, "H\u0331", "H\u0331"}, {0x1E97, "T\u0308", "T\u0308"},
    {0x1E98, "W\u030A", "W\u030A"}, {0x1E99, "Y\u030A", "Y\u030A"},
    {0x1E9A, "A\u02BE", "A\u02BE"}, {0xFB00, "FF", "Ff"},
    {0xFB01, "FI", "Fi"},           {0xFB02, "FL", "Fl"},
    {0xFB03, "FFI", "Ffi"},         {0xFB04, "FFL", "Ffl"},
    {0xFB05, "ST", "St"},           {0xFB06, "ST", "St"},
};

const LongMapping* FindLongMapping(uint32_t code) {
  for (const LongMapping& mapping : kLongMappings) {
    if (mapping.code == code) return &mapping;
  }
  return nullptr;
}

void AppendUpper(uint32_t code, std::string* out) {
  if (code < 0x80) {
    out->push_back(static_cast<char>(code >= 'a' && code <= 'z' ? code - 32 : code));
  } else if (const LongMapping* const mapping = FindLongMapping(code)) {
    out->append(mapping->upper);
  } else {
    AppendCodePoint(static_cast<uint32_t>(utf8proc_toupper(static_cast<int32_t>(code))), out);
  }
}

void AppendTitle(uint32_t code, std::string* out) {
  if (const LongMapping* const mapping = FindLongMapping(code)) {
    out->append(mapping->title);
  } else {
    AppendCodePoint(static_cast<uint32_t>(utf8proc_totitle(static_cast<int32_t>(code))), out);
  }
}

bool IsCased(uint32_t code) { return IsUpper(code) || IsLower(code) || IsTitle(code); }

bool IsCaseIgnorable(uint32_t code) {
  if (code == '\'' || code == '.' || code == ':' || code == 0xB7 || code == 0x2019) return true;
  switch (Category(code)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return false;
  }
}

constexpr uint32_t kCapitalSigma = 0x3A3, kFinalSigma = 0x3C2;

// A capital sigma is lowered to the form for the end of a word where a letter comes before it and
// none after it.
bool IsFinal(const std::vector<uint32_t>& codes, size_t at) {
  size_t before = at;
  while (before > 0 && IsCaseIgnorable(codes[before - 1])) --before;
  if (before == 0 || !IsCased(codes[before - 1])) return false;
  size_t after = at + 1;
  while (after < codes.size() && IsCaseIgnorable(codes[after])) ++after;
  return after == codes.size() || !IsCased(codes[after]);
}

void AppendLower(const std::vector<uint32_t>& codes, size_t at, std::string* out) {
  const uint32_t code = codes[at];
  if (code < 0x80) {
    out->push_back(static_cast<char>(code >= 'A' && code <= 'Z' ? code + 32 : code));
  } else if (code == 0x130) {
    out->append("i\u0307");
  } else if (code == kCapitalSigma && IsFinal(codes, at)) {
    AppendCodePoint(kFinalSigma, out);
  } else {
    AppendCodePoint(static_cast<uint32_t>(utf8proc_tolower(static_cast<int32_t>(code))), out);
  }
}

bool IsLineEnd(uint32_t code) {
  return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 ||
         code == 0x2028 || code == 0x2029;
}

// The start of the code point that ends before `end` > 0.
size_t PreviousStart(absl::string_view text, size_t end) {
  do --end;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80);
  return end;
}

}  // namespace

bool IsValidUtf8(absl::string_view text) {
  const auto* const bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  size_t at = 0;
  while (at < text.size()) {
    if (bytes[at] < 0x80) {
      ++at;
      continue;
    }
    utf8proc_int32_t code;
    const auto size =
        utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(text.size() - at), &code);
    if (size <= 0) return false;
    at += static_cast<size_t>(size);
  }
  return true;
}

uint32_t NextCodePoint(absl::string_view text, size_t* at) {
  const auto byte = [&](size_t i) -> uint32_t {
    return i < text.size() ? static_cast<uint8_t>(text[i]) & 0x3F : 0;
  };
  const size_t i = *at;
  const uint8_t lead = static_cast<uint8_t>(text[i]);
  const size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  *at = std::min(text.size(), i + size);
  switch (size) {
    case 1:
      return lead;
    case 2:
      return (lead & 0x1Fu) << 6 | byte(i + 1);
    case 3:
      return (lead & 0x0Fu) << 12 | byte(i + 1) << 6 | byte(i + 2);
    default:
      return (lead & 0x07u) << 18 | byte(i + 1) << 12 | byte(i + 2) << 6 | byte(i + 3);
  }
}

std::vector<uint32_t> CodePoints(absl::string_view text) {
  std::vector<uint32_t> codes;
  codes.reserve(text.size());
  for (size_t at = 0; at < text.size();) codes.push_back(NextCodePoint(text, &at));
  return codes;
}

void AppendCodePoint(uint32_t code, std::string* out) {
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), bytes);
  out->append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

int64_t CountCodePoints(absl::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

size_t ByteOffset(absl::string_view text, int64_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) NextCodePoint(text, &at);
  return at;
}

bool IsSpace(uint32_t code) {
  if (code < 0x80) {
    return code == ' ' || (code >= 9 && code <= 13) || (code >= 0x1C && code <= 0x1F);
  }
  return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
         code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool IsPrintable(uint32_t code) {
  switch (Category(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return code == ' ';
    default:
      return true;
  }
}

bool IsAlpha(uint32_t code) {
  switch (Category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return true;
    default:
      return false;
  }
}

bool IsDecimal(uint32_t code) { return Category(code) == UTF8PROC_CATEGORY_ND; }

bool IsDigit(uint32_t code) {
  return IsDecimal(code) || code == 0xB2 || code == 0xB3 || code == 0xB9 || code == 0x2070 ||
         (code >= 0x2074 && code <= 0x2079) || (code >= 0x2080 && code <= 0x2089) ||
         (code >= 0x2460 && code <= 0x2468);
}

bool IsNumeric(uint32_t code) {
  const utf8proc_category_t category = Category(code);
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_NO;
}

bool IsUpper(uint32_t code) { return Category(code) == UTF8PROC_CATEGORY_LU; }
bool IsLower(uint32_t code) {
  return Category(code) == UTF8PROC_CATEGORY_LL || code == 0xAA || code == 0xBA;
}
bool IsTitle(uint32_t code) { return Category(code) == UTF8PROC_CATEGORY_LT; }
bool IsWordCharacter(uint32_t code) { return code == '_' || IsAlpha(code) || IsNumeric(code); }

std::string ToUpper(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) AppendUpper(NextCodePoint(text, &at), &out);
  return out;
}

std::string ToLower(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  const std::vector<uint32_t> codes = CodePoints(text);
  for (size_t i = 0; i < codes.size(); ++i) AppendLower(codes, i, &out);
  return out;
}

std::string Capitalize(absl::string_view text) {
  std::string out;
  const std::vector<uint32_t> codes = CodePoints(text);
  for (size_t i = 0; i < codes.size(); ++i) {
    if (i == 0) {
      AppendTitle(codes[i], &out);
    } else {
      AppendLower(codes, i, &out);
    }
  }
  return out;
}

std::string ToTitle(absl::string_view text) {
  std::string out;
  const std::vector<uint32_t> codes = CodePoints(text);
  bool inside_word = false;
  for (size_t i = 0; i < codes.size(); ++i) {
    if (inside_word) {
      AppendLower(codes, i, &out);
    } else {
      AppendTitle(codes[i], &out);
    }
    inside_word = IsCased(codes[i]);
  }
  return out;
}

std::string SwapCase(absl::string_view text) {
  std::string out;
  const std::vector<uint32_t> codes = CodePoints(text);
  for (size_t i = 0; i < codes.size(); ++i) {
    if (IsUpper(codes[i])) {
      AppendLower(codes, i, &out);
    } else if (IsLower(codes[i])) {
      AppendUpper(codes[i], &out);
    } else {
      AppendCodePoint(codes[i], &out);
    }
  }
  return out;
}

absl::string_view Strip(absl::string_view text, const std::string* chars, bool left, bool right) {
  std::vector<uint32_t> set;
  if (chars != nullptr) {
    set = CodePoints(*chars);
    std::sort(set.begin(), set.end());
  }
  const auto goes = [&](uint32_t code) {
    return chars == nullptr ? IsSpace(code) : std::binary_search(set.begin(), set.end(), code);
  };
  while (left && !text.empty()) {
    size_t next = 0;
    if (!goes(NextCodePoint(text, &next))) break;
    text.remove_prefix(next);
  }
  while (right && !text.empty()) {
    const size_t start = PreviousStart(text, text.size());
    size_t at = start;
    if (!goes(NextCodePoint(text, &at))) break;
    text = text.substr(0, start);
  }
  return text;
}

std::vector<absl::string_view> SplitAtSpace(absl::string_view text, int64_t limit,
                                            bool from_right) {
  std::vector<absl::string_view> words;
  text = Strip(text, nullptr, !from_right, from_right);
  while (!text.empty()) {
    if (limit >= 0 && static_cast<int64_t>(words.size()) == limit) {
      words.push_back(text);
      break;
    }
    size_t at = from_right ? text.size() : 0;
    while (from_right ? at > 0 : at < text.size()) {
      const size_t start = from_right ? PreviousStart(text, at) : at;
      size_t next = start;
      if (IsSpace(NextCodePoint(text, &next))) break;
      at = from_right ? start : next;
    }
    words.push_back(from_right ? text.substr(at) : text.substr(0, at));
    text = from_right ? text.substr(0, at) : text.substr(at);
    text = Strip(text, nullptr, !from_right, from_right);
  }
  if (from_right) std::reverse(words.begin(), words.end());
  return words;
}

std::vector<absl::string_view> SplitLines(absl::string_view text, bool keep_ends) {
  std::vector<absl::string_view> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = at;
    const uint32_t code = NextCodePoint(text, &at);
    if (!IsLineEnd(code)) continue;
    if (code == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::string EscapeHtml(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace sluice::jinja
