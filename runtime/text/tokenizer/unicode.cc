// UTF-8 by the table of well-formed sequences (Unicode 3.9, table 3-7); classes from utf8proc.
#include "runtime/text/tokenizer/unicode.h"

#include <utf8proc.h>

namespace sluice {

Utf8Char DecodeUtf8(absl::string_view text, size_t at) {
  const uint8_t lead = static_cast<uint8_t>(text[at]);
  if (lead < 0x80) return {lead, 1, Utf8State::kValid};
  int size;
  uint8_t low = 0x80, high = 0xBF;  // what the second byte may be
  uint32_t code;
  if (lead >= 0xC2 && lead <= 0xDF) {
    size = 2;
    code = lead & 0x1Fu;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    size = 3;
    code = lead & 0x0Fu;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    size = 4;
    code = lead & 0x07u;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {0xFFFD, 1, Utf8State::kInvalid};
  }
  for (int i = 1; i < size; ++i) {
    if (at + i >= text.size()) return {0xFFFD, i, Utf8State::kTruncated};
    const uint8_t byte = static_cast<uint8_t>(text[at + i]);
    if (byte < low || byte > high) return {0xFFFD, i, Utf8State::kInvalid};
    code = code << 6 | (byte & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  return {code, size, Utf8State::kValid};
}

int64_t CountCharacters(absl::string_view text) {
  int64_t count = 0;
  for (const char byte : text) count += !IsUtf8Continuation(byte);
  return count;
}

void AppendUtf8(uint32_t code, std::string* out) {
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
    return;
  }
  const int size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  static constexpr uint8_t kLead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  out->push_back(static_cast<char>(kLead[size] | code >> (6 * (size - 1))));
  for (int i = size - 2; i >= 0; --i) {
    out->push_back(static_cast<char>(0x80 | (code >> (6 * i) & 0x3F)));
  }
}

void AppendLossyUtf8(absl::string_view text, std::string* out) {
  size_t copied = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = DecodeUtf8(text, at);
    if (c.state != Utf8State::kValid) {
      out->append(text.data() + copied, at - copied);
      out->append("\xEF\xBF\xBD");
      copied = at + c.size;
    }
    at += c.size;
  }
  out->append(text.data() + copied, text.size() - copied);
}

size_t IncompleteTail(absl::string_view text) {
  size_t tail = 0;
  while (tail < 3 && tail < text.size()) {
    const char c = text[text.size() - ++tail];
    if (IsUtf8Continuation(c)) continue;
    return DecodeUtf8(text, text.size() - tail).state == Utf8State::kTruncated ? tail : 0;
  }
  return 0;
}

bool IsAscii(absl::string_view text) {
  for (const char c : text) {
    if (static_cast<uint8_t>(c) >= 0x80) return false;
  }
  return true;
}

bool IsWhiteSpace(uint32_t code) {
  if (code < 0x80) return code == ' ' || (code >= 9 && code <= 13);
  return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
         code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool IsNumeric(uint32_t code) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool IsPunctuation(uint32_t code) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool IsMark(uint32_t code) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

bool IsWord(uint32_t code) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  // L*, M*, Nd, Nl
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) return true;
  if (category == UTF8PROC_CATEGORY_PC) return true;
  // The symbols that are alphabetic (circled and squared letters), and the join controls.
  return (code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F149) ||
         (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189) ||
         code == 0x200C || code == 0x200D;
}

uint32_t ToLower(uint32_t code) {
  return static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
}

}  // namespace sluice
