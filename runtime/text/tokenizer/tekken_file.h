// Reads Mistral's tekken.json as the tokenizer.json that would say the same.
//
// It is byte-level BPE by ranks, as in tiktoken: of the pairs of neighbours that together are a
// token, the one whose token has the lowest rank merges. An ordinary token's id is its rank plus
// the number of special tokens, which come first.
#ifndef SLUICE_RUNTIME_TEXT_TOKENIZER_TEKKEN_FILE_H_
#define SLUICE_RUNTIME_TEXT_TOKENIZER_TEKKEN_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/tokenizer/tokenizer_file.h"

namespace sluice {

// Encoding gives the ids of mistral-common. Special tokens without a name are <SPECIAL_n>, as
// there; images and audio are ignored. NotFound: no such file. InvalidArgument, which names the
// path: not JSON (with the byte), a member is missing or of a wrong type, a rank is not the token's
// place, or a special token comes twice.
absl::StatusOr<TokenizerFile> ReadTekkenFile(const std::string& path);

// Parses the text of the file; errors do not name it.
absl::StatusOr<TokenizerFile> ParseTekkenFile(absl::string_view text);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_TEXT_TOKENIZER_TEKKEN_FILE_H_
