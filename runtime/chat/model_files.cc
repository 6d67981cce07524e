// Files on disk, or what a GGUF file's metadata become.
#include "runtime/chat/model_files.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "storage/file/json.h"
#include "storage/source/gguf.h"
#include "storage/source/gguf_tokenizer.h"

namespace sluice {
namespace {

constexpr int64_t kMaxTokenFileBytes = int64_t{64} << 20;

}  // namespace

absl::StatusOr<ModelFiles> ModelFiles::Open(const std::string& path) {
  ModelFiles files;
  files.path_ = path;
  files.gguf_ = IsGgufFile(path);
  if (!files.gguf_) {
    std::error_code error;
    // A store keeps them in a folder of its own
    const std::string of_store = absl::StrCat(path, "/tokenizer");
    if (std::filesystem::is_directory(of_store, error)) files.path_ = of_store;
    return files;
  }
  SLUICE_ASSIGN_OR_RETURN(const GgufFile gguf, GgufFile::Open(path));
  SLUICE_ASSIGN_OR_RETURN(std::vector<GgufTokenizerFile> texts, GgufTokenizerFiles(gguf));
  for (GgufTokenizerFile& file : texts)
    files.texts_.emplace(std::move(file.name), std::move(file.text));
  return files;
}

std::string ModelFiles::NameOf(absl::string_view file) const {
  return gguf_ ? absl::StrCat(path_, ", as ", file) : absl::StrCat(path_, "/", file);
}

absl::StatusOr<std::optional<std::string>> ModelFiles::Read(const std::string& file,
                                                            int64_t max_bytes) const {
  if (gguf_) {
    const auto found = texts_.find(file);
    if (found == texts_.end()) return std::nullopt;
    if (static_cast<int64_t>(found->second.size()) <= max_bytes) return found->second;
    return absl::InvalidArgumentError(
        absl::StrCat(NameOf(file), ": ", found->second.size(), " bytes; at most ", max_bytes));
  }
  std::error_code error;
  if (!std::filesystem::exists(NameOf(file), error)) return std::nullopt;
  return ReadWholeFile(NameOf(file), max_bytes);
}

absl::StatusOr<TokenFiles> ModelFiles::ReadTokenFiles() const {
  return sluice::ReadTokenFiles(
      [&](const std::string& file)
          -> absl::StatusOr<std::pair<std::string, std::optional<std::string>>> {
        SLUICE_ASSIGN_OR_RETURN(std::optional<std::string> text, Read(file, kMaxTokenFileBytes));
        return std::pair(NameOf(file), std::move(text));
      });
}

absl::StatusOr<std::unique_ptr<Tokenizer>> ModelFiles::LoadTokenizer() const {
  if (!gguf_) return Tokenizer::Load(path_);
  const auto found = texts_.find("tokenizer.json");
  if (found == texts_.end())
    return absl::NotFoundError(absl::StrCat(path_, ": no tokenizer inside"));
  SLUICE_ASSIGN_OR_RETURN(const TokenFiles files, ReadTokenFiles());
  return Tokenizer::FromJson(found->second, NameOf("tokenizer.json"), files);
}

}  // namespace sluice
