// Fuzzes reading a tokenizer.json, and encoding and decoding with what loads.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > (1 << 16)) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = sluice::Tokenizer::FromJson(text, "fuzz");
  if (!tokenizer.ok()) return 0;
  for (const bool parse_special : {false, true}) {
    const auto ids =
        (*tokenizer)->Encode("Hello  w\xC3\xB6rld <s> 123\n\xE2\x82 \xF0\x9F\x98\x80's",
                             {.parse_special = parse_special});
    if (!ids.ok()) continue;
    const std::string whole = (*tokenizer)->Decode(*ids, false);
    sluice::StreamDecoder decoder(tokenizer->get(), false);
    std::string streamed;
    for (const int32_t id : *ids) streamed += decoder.Push(id);
    if (streamed + decoder.Flush() != whole) __builtin_trap();
  }
  (*tokenizer)->Decode({-1, 0, 1, 2, 3, INT32_MAX}, true);
  return 0;
}
