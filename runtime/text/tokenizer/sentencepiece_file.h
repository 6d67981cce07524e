// Reads SentencePiece's model file as the tokenizer.json that would say the same.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_SENTENCEPIECE_FILE_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_SENTENCEPIECE_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "runtime/text/tokenizer/tokenizer_file.h"

namespace sluice {

// Reads tokenizer.model. Encoding gives SentencePiece's ids. Control pieces and the unknown piece
// are special added tokens. As in LlamaTokenizer, each text between added tokens is normalized
// alone; "legacy": false in `config` (tokenizer_config.json, or {}) gives the dummy prefix only to
// the first one. The config's `add_prefix_space` overrides the model's add_dummy_prefix. Errors of
// ParseSentencePieceModel() and of reading, with the path.
absl::StatusOr<TokenizerFile> ReadSentencePieceFile(const std::string& path,
                                                    const nlohmann::json& config);

// Parses the bytes of the file; errors do not name it.
absl::StatusOr<TokenizerFile> ParseSentencePieceFile(absl::string_view bytes,
                                                     const nlohmann::json& config);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_SENTENCEPIECE_FILE_H_
