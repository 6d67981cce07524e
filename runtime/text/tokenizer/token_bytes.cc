// Finds the bytes of single tokens: the output of the decoder's stages for a token in the middle of
// a text.
#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "runtime/text/tokenizer/byte_alphabet.h"
#include "runtime/text/tokenizer/tokenizer.h"
#include "runtime/text/tokenizer/tokenizer_parts.h"

namespace sluice {
namespace {

using Kind = DecoderStep::Kind;

// "<0x0A>" becomes its byte, which no later stage changes.
bool IsFallbackByte(absl::string_view token, std::string* byte) {
  if (token.size() != 6 || !absl::StartsWith(token, "<0x") || token[5] != '>') return false;
  for (const char c : token.substr(3, 2)) {
    if (!absl::ascii_isxdigit(c)) return false;
  }
  *byte = absl::HexStringToBytes(token.substr(3, 2));
  return true;
}

std::string BytesOf(std::string text, const std::vector<DecoderStep>& steps) {
  bool fused = false;
  for (const DecoderStep& step : steps) {
    switch (step.kind) {
      case Kind::kByteLevel: {
        std::string bytes;
        AppendCharacterBytes(text, &bytes);
        return bytes;
      }
      case Kind::kByteFallback:
        if (IsFallbackByte(text, &text)) return text;
        break;
      case Kind::kFuse:
        fused = true;
        break;
      case Kind::kReplace:
        text = absl::StrReplaceAll(text, {{step.content, step.with}});
        break;
      case Kind::kStrip: {
        if (fused) break;  // of the whole text
        absl::string_view rest = text;
        for (int64_t i = 0; i < step.start && absl::ConsumePrefix(&rest, step.content); ++i) {
        }
        for (int64_t i = 0; i < step.stop && absl::ConsumeSuffix(&rest, step.content); ++i) {
        }
        text = std::string(rest);
        break;
      }
      case Kind::kMetaspace:
        text = absl::StrReplaceAll(text, {{step.content, " "}});
        break;
      case Kind::kJoin:
      case Kind::kSuffix:
        break;
    }
  }
  return text;
}

bool LooksAtNeighbours(const DecoderStep& step) {
  return step.kind == Kind::kJoin || step.kind == Kind::kSuffix;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> Tokenizer::TokenBytes() const {
  if (std::any_of(parts_->decoder.begin(), parts_->decoder.end(), LooksAtNeighbours)) {
    return absl::FailedPreconditionError(
        "this model's tokenizer puts spaces between tokens as it decodes them, so single tokens "
        "have no bytes");
  }
  std::vector<std::string> bytes(vocab_size());
  for (int32_t id = 0; id < vocab_size(); ++id) {
    const auto added = parts_->added.find(id);
    if (added != parts_->added.end()) {
      if (!added->second.special) bytes[id] = BytesOf(added->second.shown, parts_->decoder);
    } else if (parts_->vocabulary.Contains(id)) {
      bytes[id] = BytesOf(std::string(parts_->vocabulary.Token(id)), parts_->decoder);
    }
  }
  return bytes;
}

std::string Tokenizer::TokenBytes(int32_t id) const {
  if (std::any_of(parts_->decoder.begin(), parts_->decoder.end(), LooksAtNeighbours)) {
    return Decode(absl::MakeConstSpan(&id, 1), /*skip_special=*/false);
  }
  const auto added = parts_->added.find(id);
  if (added != parts_->added.end()) {
    return added->second.special ? added->second.shown
                                 : BytesOf(added->second.shown, parts_->decoder);
  }
  return parts_->vocabulary.Contains(id)
             ? BytesOf(std::string(parts_->vocabulary.Token(id)), parts_->decoder)
             : "";
}

}  // namespace sluice
