// UTF-8 as code points, and as bytes that an automaton can follow.
#ifndef SLUICE_RUNTIME_TEXT_GRAMMAR_UTF8_H_
#define SLUICE_RUNTIME_TEXT_GRAMMAR_UTF8_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/text/grammar/grammar.h"

namespace sluice::grammar {

// The code point at the beginning of a text, and its size in bytes. Size 0: malformed, or the end.
struct CodePoint {
  uint32_t value = 0;
  int size = 0;
};
CodePoint FirstCodePoint(absl::string_view text);

void AppendUtf8(uint32_t code_point, std::string* out);

// A set of characters of one length: a range for each byte.
struct ByteSequence {
  int size = 0;
  uint8_t first[4] = {};
  uint8_t last[4] = {};
};

// Returns sequences that together are exactly the encodings of the code points in `ranges`, without
// surrogates (the method of utf8-ranges in Rust's regex).
std::vector<ByteSequence> Utf8Sequences(const std::vector<CodePointRange>& ranges);

}  // namespace sluice::grammar

#endif  // SLUICE_RUNTIME_TEXT_GRAMMAR_UTF8_H_
