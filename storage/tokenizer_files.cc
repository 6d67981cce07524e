// Copies a fixed list of names, or writes what is to have them.
#include "storage/tokenizer_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/status_macros.h"
#include "storage/durable_file.h"
#include "storage/gguf.h"
#include "storage/gguf_tokenizer.h"
#include "storage/input_file.h"
#include "storage/running_checksum.h"

namespace sluice {
namespace {

constexpr int64_t kCopyBytes = int64_t{1} << 20;

// Sorted, as the manifest wants them.
constexpr std::array<absl::string_view, 12> kNames = {"added_tokens.json",
                                                      "chat_template.jinja",
                                                      "chat_template.json",
                                                      "config.json",
                                                      "generation_config.json",
                                                      "merges.txt",
                                                      "special_tokens_map.json",
                                                      "tekken.json",
                                                      "tokenizer.json",
                                                      "tokenizer.model",
                                                      "tokenizer_config.json",
                                                      "vocab.json"};
static_assert(std::is_sorted(kNames.begin(), kNames.end()));

absl::Status CopyFile(const std::string& source, const std::string& target, ManifestCopy* copy) {
  SLUICE_ASSIGN_OR_RETURN(const InputFile input, InputFile::Open(source, PageCache::kUse));
  copy->bytes = input.bytes();
  SLUICE_ASSIGN_OR_RETURN(const OutputFile output,
                          OutputFile::Create(target, copy->bytes, PageCache::kUse));
  std::vector<std::byte> buffer(std::min(kCopyBytes, copy->bytes));
  RunningChecksum checksum;
  for (int64_t done = 0; done < copy->bytes;) {
    const auto part = absl::MakeSpan(buffer).first(std::min(kCopyBytes, copy->bytes - done));
    SLUICE_RETURN_IF_ERROR(input.ReadAllAt(done, part));
    SLUICE_RETURN_IF_ERROR(output.WriteAt(done, part));
    checksum.Add(part);
    done += static_cast<int64_t>(part.size());
  }
  copy->checksum = checksum.Value();
  return output.Sync();
}

absl::Status WriteText(const std::string& text, const std::string& target, ManifestCopy* copy) {
  const absl::Span<const std::byte> bytes(reinterpret_cast<const std::byte*>(text.data()),
                                          text.size());
  copy->bytes = static_cast<int64_t>(bytes.size());
  copy->checksum = Checksum(bytes);
  SLUICE_ASSIGN_OR_RETURN(const OutputFile output,
                          OutputFile::Create(target, copy->bytes, PageCache::kUse));
  SLUICE_RETURN_IF_ERROR(output.WriteAt(0, bytes));
  return output.Sync();
}

absl::StatusOr<std::vector<TokenizerSource>> FilesInFolder(const std::string& folder) {
  std::vector<TokenizerSource> files;
  for (const absl::string_view name : kNames) {
    const std::string path = absl::StrCat(folder, "/", name);
    struct stat info;
    if (stat(path.c_str(), &info) == 0) {
      if (S_ISREG(info.st_mode)) files.push_back({std::string(name), info.st_size, path, ""});
    } else if (errno != ENOENT) {
      return FileError(errno, "inspect", path);
    }
  }
  return files;
}

absl::StatusOr<std::vector<TokenizerSource>> FilesOfGguf(const Checkpoint& checkpoint) {
  SLUICE_ASSIGN_OR_RETURN(const GgufFile gguf, GgufFile::Open(checkpoint.path()));
  SLUICE_ASSIGN_OR_RETURN(std::vector<GgufTokenizerFile> texts, GgufTokenizerFiles(gguf));
  texts.push_back(
      {"config.json", HyperParametersToJson(checkpoint.hyper_parameters()).dump(2) + "\n"});
  std::vector<TokenizerSource> files;
  for (GgufTokenizerFile& file : texts) {
    const int64_t bytes = static_cast<int64_t>(file.text.size());
    files.push_back({std::move(file.name), bytes, "", std::move(file.text)});
  }
  std::sort(files.begin(), files.end(),
            [](const TokenizerSource& a, const TokenizerSource& b) { return a.name < b.name; });
  return files;
}

}  // namespace

absl::StatusOr<std::vector<TokenizerSource>> ListTokenizerFiles(const Checkpoint& checkpoint) {
  return checkpoint.format() == CheckpointFormat::kGguf ? FilesOfGguf(checkpoint)
                                                        : FilesInFolder(checkpoint.path());
}

std::vector<ManifestCopy> TokenizerCopies(const std::vector<TokenizerSource>& sources) {
  std::vector<ManifestCopy> copies;
  for (const TokenizerSource& source : sources) copies.push_back({source.name, source.bytes, 0});
  return copies;
}

absl::StatusOr<std::vector<ManifestCopy>> WriteTokenizerFiles(
    const std::vector<TokenizerSource>& sources, const std::string& target_dir) {
  std::vector<ManifestCopy> copies = TokenizerCopies(sources);
  for (const absl::string_view name : kNames) {
    const std::string target = absl::StrCat(target_dir, "/", name);
    const auto source = std::find_if(sources.begin(), sources.end(),
                                     [&](const TokenizerSource& s) { return s.name == name; });
    if (source == sources.end()) {
      SLUICE_RETURN_IF_ERROR(RemoveFile(target));
      continue;
    }
    ManifestCopy* copy = &copies[source - sources.begin()];
    SLUICE_RETURN_IF_ERROR(source->path.empty() ? WriteText(source->text, target, copy)
                                                : CopyFile(source->path, target, copy));
  }
  SLUICE_RETURN_IF_ERROR(SyncFolder(target_dir));
  return copies;
}

}  // namespace sluice
