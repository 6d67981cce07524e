// Reads tokenizer.json (or vocab.json with merges.txt) without holding the document in memory.
//
// The vocabulary and the merges are most of the file: they go straight into their tables. The rest
// (components, added tokens, options) is small and is kept as a document.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_TOKENIZER_FILE_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_TOKENIZER_FILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "runtime/text/tokenizer/added_tokens.h"
#include "runtime/text/tokenizer/bpe.h"
#include "runtime/text/tokenizer/normalizer.h"
#include "runtime/text/tokenizer/vocabulary.h"

namespace sluice {

struct TokenizerFile {
  Vocabulary vocabulary;  // the model's, without added tokens; finished
  MergeText merges;
  nlohmann::json document;  // the rest; model.vocab and model.merges are null
  // Members that tokenizer_config.json has by default.
  nlohmann::json config_defaults = nlohmann::json::object();

  // Behaviour of SentencePiece that tokenizer.json cannot express.
  struct SentencePiece {
    Normalizer normalizer;                // in place of the document's
    std::vector<AddedToken> symbols;      // found in normalized text, spelled as they are
    absl::flat_hash_set<int32_t> unused;  // BpeOptions::unused
  };
  std::optional<SentencePiece> sentence_piece;  // for tokenizer.model only
};

// NotFound: no such file. InvalidArgument, which names `what` (or the path): not JSON (with the
// byte offset), nested too deep, a doubled key, a value of a wrong type, a token or id that comes
// twice, or a merge that is not two parts.
absl::StatusOr<TokenizerFile> ReadTokenizerJson(const std::string& path);
absl::StatusOr<TokenizerFile> ParseTokenizerJson(absl::string_view text, absl::string_view what);

// Reads the older form: vocab.json ({token: id}) and merges.txt ("left right" a line; the first
// line may be "#version: ..."). `document` becomes {}. Errors as above.
absl::StatusOr<TokenizerFile> ReadVocabAndMerges(const std::string& vocab_path,
                                                 const std::string& merges_path);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_TOKENIZER_FILE_H_
