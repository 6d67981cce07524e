// Writes the tokenizer that a GGUF file's metadata describe as Hugging Face's files.
#ifndef SLUICE_STORAGE_SOURCE_GGUF_TOKENIZER_H_
#define SLUICE_STORAGE_SOURCE_GGUF_TOKENIZER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/source/gguf.h"

namespace sluice {

struct GgufTokenizerFile {
  std::string name;
  std::string text;
};

// Returns tokenizer.json, tokenizer_config.json, generation_config.json and, if there is a chat
// template, chat_template.jinja; nothing if the file has no vocabulary. Models "gpt2" (byte-level
// BPE) and "llama" (SentencePiece BPE: merges follow from the scores, as transformers makes them).
//
// Unimplemented: names another model or pre-tokenizer. InvalidArgument: keys are missing, of a
// wrong type or inconsistent. All name the path.
absl::StatusOr<std::vector<GgufTokenizerFile>> GgufTokenizerFiles(const GgufFile& gguf);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SOURCE_GGUF_TOKENIZER_H_
