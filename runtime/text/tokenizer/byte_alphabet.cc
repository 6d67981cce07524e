// Both directions of the byte-level alphabet as tables built at compile time.
#include "runtime/text/tokenizer/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "runtime/text/tokenizer/unicode.h"

namespace sluice {
namespace {

constexpr int kLastCharacter = 0x143;  // U+0100 + 68 - 1

struct Alphabet {
  std::array<uint16_t, 256> character{};
  std::array<int16_t, kLastCharacter + 1> byte{};  // -1: not in the alphabet
};

constexpr bool IsPrintable(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr Alphabet MakeAlphabet() {
  Alphabet alphabet;
  for (int16_t& byte : alphabet.byte) byte = -1;
  uint16_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const uint16_t character = IsPrintable(byte) ? static_cast<uint16_t>(byte) : next++;
    alphabet.character[byte] = character;
    alphabet.byte[character] = static_cast<int16_t>(byte);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = MakeAlphabet();
static_assert(kAlphabet.character[0xAD] == kLastCharacter);

}  // namespace

void AppendByteCharacters(absl::string_view bytes, std::string* out) {
  for (const char byte : bytes) AppendUtf8(kAlphabet.character[static_cast<uint8_t>(byte)], out);
}

void AppendCharacterBytes(absl::string_view token, std::string* out) {
  const size_t before = out->size();
  for (size_t at = 0; at < token.size();) {
    const Utf8Char c = DecodeUtf8(token, at);
    if (c.code > kLastCharacter || kAlphabet.byte[c.code] < 0) {
      out->resize(before);
      out->append(token.data(), token.size());
      return;
    }
    out->push_back(static_cast<char>(kAlphabet.byte[c.code]));
    at += c.size;
  }
}

}  // namespace sluice
