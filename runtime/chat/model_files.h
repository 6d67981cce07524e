// The tokenizer's files, wherever a path keeps them: in a store, in a checkpoint's folder, or in a
// GGUF file.
#ifndef SLUICE_RUNTIME_CHAT_MODEL_FILES_H_
#define SLUICE_RUNTIME_CHAT_MODEL_FILES_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "runtime/text/tokenizer/token_files.h"
#include "runtime/text/tokenizer/tokenizer.h"

namespace sluice {

class ModelFiles {
 public:
  // Reads the header of a GGUF file, and nothing yet of a folder. Errors of GgufFile::Open and
  // GgufTokenizerFiles.
  static absl::StatusOr<ModelFiles> Open(const std::string& path);

  // The folder of the files, or the GGUF file.
  const std::string& path() const { return path_; }
  // Returns the name of a file for messages.
  std::string NameOf(absl::string_view file) const;
  // Returns the file's text; nothing if there is no such file. Errors of ReadWholeFile.
  absl::StatusOr<std::optional<std::string>> Read(const std::string& file, int64_t max_bytes) const;
  // Reads the files that name tokens. Errors of Read and sluice::ReadTokenFiles.
  absl::StatusOr<TokenFiles> ReadTokenFiles() const;
  // Errors of Tokenizer::Load.
  absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer() const;

 private:
  ModelFiles() = default;
  std::string path_;
  bool gguf_ = false;
  std::map<std::string, std::string> texts_;  // the files of a GGUF file
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_MODEL_FILES_H_
