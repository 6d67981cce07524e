// The pre-tokenizers that GGUF files name. A pre-tokenizer cuts a text into words before byte-pair
// encoding.
#ifndef SLUICE_STORAGE_SOURCE_GGUF_PRE_TOKENIZER_H_
#define SLUICE_STORAGE_SOURCE_GGUF_PRE_TOKENIZER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

struct GgufPreTokenizer {
  // Applied one after the other: a match is a word, and so is the text between two matches.
  std::vector<std::string> patterns;
  // A word that is in the vocabulary becomes that token, without merges
  bool ignore_merges = false;
  bool add_bos = false;  // used if tokenizer.ggml.add_bos_token is missing
  bool nfc = false;      // the text is normalized first
};

// `name` is tokenizer.ggml.pre; older files without that key mean "default". Unimplemented: an
// unknown name; the message lists the known ones.
absl::StatusOr<GgufPreTokenizer> FindGgufPreTokenizer(absl::string_view name);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SOURCE_GGUF_PRE_TOKENIZER_H_
