// A tokenizer from Mistral's tekken.json, as tokenizer.json would say it.
//
// Byte-level BPE by ranks, as tiktoken has it: of the pairs of neighbours that are a token
// together, the one of the lowest rank merges. An ordinary token's id is its rank plus the number
// of special tokens, which come first.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_TEKKEN_FILE_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_TEKKEN_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/tokenizer/tokenizer_file.h"

namespace sluice {

// Encoding gives the ids of mistral-common. Special tokens without a name are <SPECIAL_n>, as
// there; images and audio are ignored. NotFound: no such file. InvalidArgument names the path and:
// not JSON (with the byte), a member that is missing or of a wrong type, a rank that is not the
// token's place, a special token that comes twice.
absl::StatusOr<TokenizerFile> ReadTekkenFile(const std::string& path);

// The same from the text of the file; errors do not name it.
absl::StatusOr<TokenizerFile> ParseTekkenFile(absl::string_view text);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_TEKKEN_FILE_H_
