// Fuzzes reading a tokenizer.json, a tokenizer.model and a tekken.json, and encoding and decoding
// with what loads.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/tokenizer/sentencepiece_file.h"
#include "runtime/text/tokenizer/tekken_file.h"
#include "runtime/text/tokenizer/tokenizer.h"
#include "runtime/text/tokenizer/tokenizer_builder.h"

namespace {

std::unique_ptr<sluice::Tokenizer> Build(absl::StatusOr<sluice::TokenizerFile> file) {
  sluice::TokenizerBuilder builder;
  if (!file.ok() || !builder.BuildParts(*std::move(file)).ok()) return nullptr;
  return builder.Take("fuzz");
}

void Use(const sluice::Tokenizer& tokenizer) {
  for (const bool parse_special : {false, true}) {
    const auto ids = tokenizer.Encode("Hello  w\xC3\xB6rld <s> 123\n\xE2\x82 \xF0\x9F\x98\x80's",
                                      {.parse_special = parse_special});
    if (!ids.ok()) continue;
    const std::string whole = tokenizer.Decode(*ids, false);
    sluice::StreamDecoder decoder(&tokenizer, false);
    std::string streamed;
    for (const int32_t id : *ids) streamed += decoder.Push(id);
    if (streamed + decoder.Flush() != whole) __builtin_trap();
  }
  tokenizer.Decode({-1, 0, 1, 2, 3, INT32_MAX}, true);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > (1 << 16)) return 0;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto tokenizer = sluice::Tokenizer::FromJson(text, "fuzz"); tokenizer.ok())
    Use(**tokenizer);
  for (const bool legacy : {false, true}) {
    const auto model = Build(sluice::ParseSentencePieceFile(text, {{"legacy", legacy}}));
    if (model != nullptr) Use(*model);
  }
  if (const auto tekken = Build(sluice::ParseTekkenFile(text)); tekken != nullptr) Use(*tekken);
  return 0;
}
