// The tokenizer's files of a store, of a checkpoint's folder or of a GGUF file, whichever a path
// names.
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
  // Reads a GGUF file's header; of a folder nothing yet. Errors of GgufFile::Open and
  // GgufTokenizerFiles.
  static absl::StatusOr<ModelFiles> Open(const std::string& path);

  // The folder of the files, or the GGUF file.
  const std::string& path() const { return path_; }
  // How messages name a file of them.
  std::string NameOf(absl::string_view file) const;
  // The file's text; nothing where there is none. Errors of ReadWholeFile.
  absl::StatusOr<std::optional<std::string>> Read(const std::string& file, int64_t max_bytes) const;
  // The files that name tokens. Errors of Read and sluice::ReadTokenFiles.
  absl::StatusOr<TokenFiles> ReadTokenFiles() const;
  // Errors of Tokenizer::Load.
  absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer() const;

 private:
  ModelFiles() = default;
  std::string path_;
  bool gguf_ = false;
  std::map<std::string, std::string> texts_;  // of a GGUF file
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_CHAT_MODEL_FILES_H_
