// The pre-tokenizers that GGUF files name: how a text is cut into words before byte-pair encoding.
#ifndef SLUICE_STORAGE_SOURCE_GGUF_PRE_TOKENIZER_H_
#define SLUICE_STORAGE_SOURCE_GGUF_PRE_TOKENIZER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

struct GgufPreTokenizer {
  // Applied one after the other; matches and what lies between are words
  std::vector<std::string> patterns;
  bool ignore_merges = false;  // a word that is a token is that token
  bool add_bos = false;        // where tokenizer.ggml.add_bos_token is missing
  bool nfc = false;            // the text is normalized first
};

// `name` is tokenizer.ggml.pre; files from before there was one mean "default". Unimplemented lists
// the known ones.
absl::StatusOr<GgufPreTokenizer> FindGgufPreTokenizer(absl::string_view name);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SOURCE_GGUF_PRE_TOKENIZER_H_
