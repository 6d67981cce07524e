// Normalizers of tokenizer.json: they change the text between added tokens before it is cut.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_NORMALIZER_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_NORMALIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "runtime/text/tokenizer/component.h"
#include "runtime/text/tokenizer/sentencepiece_normalizer.h"

namespace sluice {

// Immutable; any number of threads may apply it.
class Normalizer {
 public:
  // Does nothing.
  Normalizer() = default;

  // Reads the member "normalizer" of tokenizer.json. Known types: NFC, NFD, NFKC, NFKD, Lowercase,
  // Strip, StripAccents, Replace, Prepend, ByteLevel, Nmt, Sequence. InvalidArgument: another type
  // (named), an unknown key, a wrong value.
  static absl::StatusOr<Normalizer> FromJson(const nlohmann::json& component);

  // Makes the normalizer of a SentencePiece model file, which has no component.
  static Normalizer FromSentencePiece(SentencePieceNormalizer normalizer);

  // Normalizes `text` (valid UTF-8, stays so) in place. `*at_start` says whether its first
  // character stems from the first one of the whole input; it becomes false if that one is dropped.
  // ResourceExhausted: a regex exceeds the budget, or the size of the result its limit.
  absl::Status Apply(std::string* text, bool* at_start, SearchBudget* budget) const;

  // Returns an upper bound of the bytes of a text that one byte of the result stands for. 0: no
  // bound.
  size_t MostPerByte() const;

  int64_t MemoryBytes() const;

 private:
  enum class Kind : uint8_t {
    kNfc,
    kNfd,
    kNfkc,
    kNfkd,
    kLowercase,
    kStrip,
    kStripAccents,
    kReplace,
    kPrepend,
    kByteLevel,
    kNmt,
    kSentencePiece,
  };
  struct Step {
    Kind kind;
    bool left = false, right = false;  // kStrip
    Pattern pattern = {};              // kReplace
    std::string content = {};          // kReplace, kPrepend
  };
  absl::Status AddSteps(const nlohmann::json& component);
  static absl::Status Replace(const Step& step, size_t limit, SearchBudget* budget,
                              std::string* text, bool* at_start);

  std::vector<Step> steps_;
  std::shared_ptr<const SentencePieceNormalizer> sentence_piece_;  // of the step kSentencePiece
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_NORMALIZER_H_
