// Copies a fixed list of names.
#include "storage/tokenizer_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/status_macros.h"
#include "storage/durable_file.h"
#include "storage/input_file.h"
#include "storage/running_checksum.h"

namespace sluice {
namespace {

constexpr int64_t kCopyBytes = int64_t{1} << 20;

// Sorted, as the manifest wants them.
constexpr std::array<absl::string_view, 11> kNames = {"added_tokens.json",
                                                      "chat_template.jinja",
                                                      "chat_template.json",
                                                      "config.json",
                                                      "generation_config.json",
                                                      "merges.txt",
                                                      "special_tokens_map.json",
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

}  // namespace

absl::StatusOr<std::vector<ManifestCopy>> ListTokenizerFiles(const std::string& source_dir) {
  std::vector<ManifestCopy> files;
  for (const absl::string_view name : kNames) {
    const std::string path = absl::StrCat(source_dir, "/", name);
    struct stat info;
    if (stat(path.c_str(), &info) == 0) {
      if (S_ISREG(info.st_mode)) files.push_back({std::string(name), info.st_size, 0});
    } else if (errno != ENOENT) {
      return FileError(errno, "inspect", path);
    }
  }
  return files;
}

absl::Status CopyTokenizerFiles(const std::string& source_dir, const std::string& target_dir,
                                std::vector<ManifestCopy>* files) {
  for (const absl::string_view name : kNames) {
    const auto file = std::find_if(files->begin(), files->end(),
                                   [&](const ManifestCopy& copy) { return copy.name == name; });
    const std::string target = absl::StrCat(target_dir, "/", name);
    if (file == files->end()) {
      SLUICE_RETURN_IF_ERROR(RemoveFile(target));
    } else {
      SLUICE_RETURN_IF_ERROR(CopyFile(absl::StrCat(source_dir, "/", name), target, &*file));
    }
  }
  return SyncFolder(target_dir);
}

}  // namespace sluice
