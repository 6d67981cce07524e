// Pre-tokenizers of tokenizer.json: they cut normalized text into the words that BPE works on.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_PRE_TOKENIZER_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_PRE_TOKENIZER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "runtime/text/tokenizer/component.h"
#include "runtime/text/tokenizer/split.h"

namespace sluice {

// Words as ranges of one text, in order, none empty. The text between them was removed.
struct Words {
  struct Word {
    size_t begin, end;
    bool at_start;  // the first character stems from the first one of the whole input
  };
  std::string text;
  std::vector<Word> words;

  absl::string_view operator[](size_t i) const {
    return absl::string_view(text).substr(words[i].begin, words[i].end - words[i].begin);
  }
};

// Immutable; any number of threads may apply it.
class PreTokenizer {
 public:
  // Leaves the text one word.
  PreTokenizer() = default;

  // Reads the member "pre_tokenizer" of tokenizer.json. Known types: ByteLevel, Split, Digits,
  // Punctuation, Metaspace, Whitespace, WhitespaceSplit, BertPreTokenizer, CharDelimiterSplit,
  // Sequence. InvalidArgument: another type (named), an unknown key, a wrong value.
  static absl::StatusOr<PreTokenizer> FromJson(const nlohmann::json& component);

  // Cuts `text` (valid UTF-8); `at_start` as in Normalizer::Apply.
  // ResourceExhausted: a regex exceeds the budget, or the size of the result its limit.
  absl::StatusOr<Words> Apply(std::string text, bool at_start, SearchBudget* budget) const;

  // Returns whether no part of a text is removed.
  bool KeepsAll() const;
  // Returns whether words are in the alphabet of byte_alphabet.h.
  bool WritesBytes() const;

  int64_t MemoryBytes() const;

 private:
  // A pre-tokenizer of the file is one step or a few.
  enum class Kind : uint8_t {
    // Cutting:
    kPattern,          // at matches of `pattern`
    kNumeric,          // at numeric characters
    kPunctuation,      // at ASCII punctuation (symbols too) and Unicode punctuation
    kWhiteSpace,       // at white space
    kWordsAndSymbols,  // at runs of word characters and runs of neither those nor white space
    kDelimiter,        // at `character`
    // Rewriting:
    kBytes,        // bytes become characters
    kSpaces,       // spaces become `character`
    kPrefix,       // words that do not start with `character` get it
    kPrefixFirst,  // the word at the start of the input gets it, too
  };
  struct Step {
    Kind kind;
    SplitBehavior behavior = SplitBehavior::kIsolated;
    bool invert = false;
    uint32_t character = 0;
    Pattern pattern = {};
  };
  absl::Status AddSteps(const nlohmann::json& component);
  absl::Status AddByteLevel(const nlohmann::json& component);
  absl::Status AddSplit(const nlohmann::json& component);
  absl::Status AddMetaspace(const nlohmann::json& component);
  static absl::Status Cut(const Step& step, SearchBudget* budget, Words* words);
  static absl::Status FindMatches(const Step& step, absl::string_view word, SearchBudget* budget,
                                  std::vector<TextRange>* matches);
  static absl::Status Rewrite(const Step& step, size_t limit, Words* words);

  std::vector<Step> steps_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_PRE_TOKENIZER_H_
