// SentencePiece's normalizer: it replaces characters by a compiled table and treats spaces by the
// model's settings.
//
// It follows src/normalizer.cc of github.com/google/sentencepiece. The table has the layout of
// Darts-clone (a double array).
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_SENTENCEPIECE_NORMALIZER_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_SENTENCEPIECE_NORMALIZER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/tokenizer/added_tokens.h"

namespace sluice {

// U+2581, which stands for a space in pieces.
inline constexpr absl::string_view kPieceSpace = "\xE2\x96\x81";

// Immutable; any number of threads may apply it.
class SentencePieceNormalizer {
 public:
  struct Options {
    // Precompiled_charsmap of the model file; empty: no character changes
    std::string charsmap = {};
    bool add_dummy_prefix = true;           // a space before the text
    bool prefix_first_only = false;         // only before the first text of the input
    bool remove_extra_whitespaces = true;   // spaces at the ends, and all but one between words
    bool escape_whitespaces = true;         // a space becomes kPieceSpace
    std::vector<std::string> symbols = {};  // user-defined pieces, which the table does not change
  };

  // InvalidArgument: the table is damaged, or a symbol is empty.
  static absl::StatusOr<SentencePieceNormalizer> Create(Options options);

  // Normalizes `text` (valid UTF-8, stays so) in place. `at_start`: it is the first text of the
  // input. ResourceExhausted: the result exceeds `limit` bytes.
  absl::Status Apply(bool at_start, size_t limit, std::string* text) const;

  int64_t MemoryBytes() const;

 private:
  SentencePieceNormalizer() = default;

  // Returns the replacement of the longest prefix of `rest` that is one unit; `*taken` is the
  // prefix's size. The result is a view into `rest` or the table.
  absl::string_view Prefix(absl::string_view rest, size_t* taken) const;
  // Returns the size of the longest prefix that the table has, and its replacement; 0: none.
  size_t LongestInTable(absl::string_view rest, absl::string_view* becomes) const;

  Options options_;
  AddedTokenMatcher symbols_;
  std::vector<uint32_t> units_;  // the double array
  std::string replacements_;     // each ends with a zero byte
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_SENTENCEPIECE_NORMALIZER_H_
