// The alphabet of byte-level BPE: each byte is written as one printable character.
//
// Printable bytes of Latin-1 stand for themselves; the 68 others are U+0100, U+0101, ... in order
// (GPT-2's bytes_to_unicode).
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_BYTE_ALPHABET_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_BYTE_ALPHABET_H_

#include <string>

#include "absl/strings/string_view.h"

namespace sluice {

// Appends each byte of `bytes` as its character, in UTF-8.
void AppendByteCharacters(absl::string_view bytes, std::string* out);

// Does the reverse: appends the byte of each character of `token` (valid UTF-8). A token with a
// character outside the alphabet is appended unchanged.
void AppendCharacterBytes(absl::string_view token, std::string* out);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_BYTE_ALPHABET_H_
