// UTF-8 and the few Unicode character classes that tokenizers ask for.
//
// Classes follow utf8proc's Unicode version (15.0 in Debian 12). Characters assigned later are
// unassigned here.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_UNICODE_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_UNICODE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

enum class Utf8State : uint8_t {
  kValid,
  kInvalid,    // `size` bytes can be part of no character, whatever follows
  kTruncated,  // the text ends inside a character that is well-formed so far
};

struct Utf8Char {
  uint32_t code;  // U+FFFD unless kValid
  int size;       // bytes taken, at least 1: a whole character or the longest malformed prefix
  Utf8State state;
};

// Decodes the character at `at` < text.size().
Utf8Char DecodeUtf8(absl::string_view text, size_t at);

// Returns the byte length of the character that starts with `lead` in valid UTF-8.
inline size_t Utf8Size(char lead) {
  const uint8_t byte = static_cast<uint8_t>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}
inline bool IsUtf8Continuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }
// Counts the characters of valid UTF-8.
int64_t CountCharacters(absl::string_view text);

// `code` must be a Unicode scalar value.
void AppendUtf8(uint32_t code, std::string* out);

// Appends `text` with each malformed part (the longest prefix of a character, else one byte) as one
// U+FFFD, as the Unicode standard recommends and Rust's from_utf8_lossy does.
void AppendLossyUtf8(absl::string_view text, std::string* out);

// Returns how many bytes at the end of `text` (0 to 3) begin a character that may yet be completed.
size_t IncompleteTail(absl::string_view text);

bool IsAscii(absl::string_view text);

bool IsWhiteSpace(uint32_t code);   // the property White_Space
bool IsNumeric(uint32_t code);      // general categories Nd, Nl, No
bool IsPunctuation(uint32_t code);  // general categories P*
bool IsMark(uint32_t code);         // general categories M*
bool IsWord(uint32_t code);         // \w of UTS 18: alphabetic, marks, Nd, Pc, join controls
uint32_t ToLower(uint32_t code);    // simple mapping

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_UNICODE_H_
