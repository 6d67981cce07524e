// Splits ranges of code points where their encodings change.
#include "runtime/text/grammar/utf8.h"

#include <algorithm>

namespace sluice::grammar {
namespace {

// Appends the sequences of first..last, which have encodings of the same length.
void AppendSequences(uint32_t first, uint32_t last, int size, std::vector<ByteSequence>* out) {
  // Where not the last bytes but earlier ones differ, the last ones must run over all their values.
  for (int i = 1; i < size; ++i) {
    const uint32_t mask = (1u << (6 * i)) - 1;
    if ((first & ~mask) == (last & ~mask)) continue;
    if ((first & mask) != 0) {
      AppendSequences(first, first | mask, size, out);
      AppendSequences((first | mask) + 1, last, size, out);
      return;
    }
    if ((last & mask) != mask) {
      AppendSequences(first, (last & ~mask) - 1, size, out);
      AppendSequences(last & ~mask, last, size, out);
      return;
    }
  }
  std::string a, b;
  AppendUtf8(first, &a);
  AppendUtf8(last, &b);
  ByteSequence sequence;
  sequence.size = size;
  for (int i = 0; i < size; ++i) {
    sequence.first[i] = static_cast<uint8_t>(a[i]);
    sequence.last[i] = static_cast<uint8_t>(b[i]);
  }
  out->push_back(sequence);
}

}  // namespace

CodePoint FirstCodePoint(absl::string_view text) {
  if (text.empty()) return {};
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const int size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < static_cast<size_t>(size)) return {};
  uint32_t value = lead & (0x7Fu >> size);
  for (int i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    value = value << 6 | (byte(i) & 0x3Fu);
  }
  static constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kSmallest[size] || value > kMaxCodePoint || (value >= 0xD800 && value <= 0xDFFF))
    return {};
  return {value, size};
}

void AppendUtf8(uint32_t c, std::string* out) {
  const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

std::vector<ByteSequence> Utf8Sequences(const std::vector<CodePointRange>& ranges) {
  static constexpr struct {
    uint32_t first, last;
    int size;
  } kLengths[] = {{0, 0x7F, 1},
                  {0x80, 0x7FF, 2},
                  {0x800, 0xD7FF, 3},
                  {0xE000, 0xFFFF, 3},
                  {0x10000, kMaxCodePoint, 4}};
  std::vector<ByteSequence> sequences;
  for (const CodePointRange& range : ranges) {
    for (const auto& length : kLengths) {
      const uint32_t first = std::max(range.first, length.first),
                     last = std::min(range.last, length.last);
      if (first <= last) AppendSequences(first, last, length.size, &sequences);
    }
  }
  return sequences;
}

}  // namespace sluice::grammar
