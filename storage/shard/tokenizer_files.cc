// Copies the files of a fixed list of names, or writes their texts.
#include "storage/shard/tokenizer_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/base/status_macros.h"
#include "storage/file/checksum.h"
#include "storage/file/durable_file.h"
#include "storage/file/input_file.h"
#include "storage/source/gguf.h"
#include "storage/source/gguf_tokenizer.h"

namespace sluice {
namespace {

constexpr int64_t kCopyBytes = int64_t{1} << 20;

// Sorted, as the manifest wants them.
constexpr std::array<absl::string_view, 12> kNames = {
    "added_tokens.json",      "chat_template.jinja", "chat_template.json",      "config.json",
    "generation_config.json", "merges.txt",          "special_tokens_map.json", "tekken.json",
    "tokenizer.json",         "tokenizer.model",     "tokenizer_config.json",   "vocab.json"};
static_assert(std::is_sorted(kNames.begin(), kNames.end()));

// Hands a file to `sink`, part by part, and puts size and checksum into `copy`.
absl::Status ReadParts(
    const std::string& path, ManifestCopy* copy,
    absl::FunctionRef<absl::Status(int64_t offset, absl::Span<const std::byte> part)> sink) {
  SLUICE_ASSIGN_OR_RETURN(const InputFile input, InputFile::Open(path, PageCache::kUse));
  copy->bytes = input.bytes();
  std::vector<std::byte> buffer(std::min(kCopyBytes, copy->bytes));
  RunningChecksum checksum;
  for (int64_t done = 0; done < copy->bytes;) {
    const auto part = absl::MakeSpan(buffer).first(std::min(kCopyBytes, copy->bytes - done));
    SLUICE_RETURN_IF_ERROR(input.ReadAllAt(done, part));
    SLUICE_RETURN_IF_ERROR(sink(done, part));
    checksum.Add(part);
    done += static_cast<int64_t>(part.size());
  }
  copy->checksum = checksum.Value();
  return absl::OkStatus();
}

absl::Status CopyFile(const std::string& source, const std::string& target, ManifestCopy* copy) {
  SLUICE_ASSIGN_OR_RETURN(const OutputFile output, OutputFile::Create(target, 0, PageCache::kUse));
  SLUICE_RETURN_IF_ERROR(
      ReadParts(source, copy, [&](int64_t offset, absl::Span<const std::byte> part) {
        return output.WriteAt(offset, part);
      }));
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
    } else if (lstat(path.c_str(), &info) == 0) {
      return absl::NotFoundError(
          absl::StrCat(path, ": a link to a file that is not there; download the model again"));
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

absl::StatusOr<ManifestCopy> CopyOf(const std::string& name, const std::string& path) {
  ManifestCopy copy{name, 0, 0};
  SLUICE_RETURN_IF_ERROR(ReadParts(
      path, &copy, [](int64_t, absl::Span<const std::byte>) { return absl::OkStatus(); }));
  return copy;
}

absl::StatusOr<std::vector<ManifestCopy>> TokenizerCopies(
    const std::vector<TokenizerSource>& sources) {
  std::vector<ManifestCopy> copies;
  for (const TokenizerSource& source : sources) {
    if (source.path.empty()) {
      copies.push_back({source.name, source.bytes, Checksum(source.text)});
    } else {
      SLUICE_ASSIGN_OR_RETURN(ManifestCopy copy, CopyOf(source.name, source.path));
      copies.push_back(std::move(copy));
    }
  }
  return copies;
}

std::vector<std::string> TokenizerChanges(const std::string& tokenizer_dir,
                                          const Manifest& manifest) {
  std::vector<std::string> lines;
  for (const ManifestCopy& copy : manifest.tokenizer_files) {
    const std::string path = absl::StrCat(tokenizer_dir, "/", copy.name);
    const absl::StatusOr<ManifestCopy> now = CopyOf(copy.name, path);
    if (!now.ok()) {
      lines.emplace_back(now.status().message());
    } else if (now->checksum != copy.checksum) {
      lines.push_back(absl::StrCat(path, ": changed since the store was made: XXH3 ",
                                   ChecksumToHex(now->checksum), ", the manifest says ",
                                   ChecksumToHex(copy.checksum)));
    }
  }
  return lines;
}

std::vector<std::string> ChangedCopies(const std::vector<ManifestCopy>& before,
                                       const std::vector<ManifestCopy>& after) {
  std::set<std::string> names;
  for (const auto& [a, b] : {std::pair(&before, &after), std::pair(&after, &before)}) {
    for (const ManifestCopy& copy : *a) {
      if (!absl::c_linear_search(*b, copy)) names.insert(copy.name);
    }
  }
  return {names.begin(), names.end()};
}

absl::StatusOr<std::vector<ManifestCopy>> WriteTokenizerFiles(
    const std::vector<TokenizerSource>& sources, const std::string& target_dir,
    const std::vector<ManifestCopy>& kept) {
  std::vector<ManifestCopy> copies;
  std::set<std::string> names(kNames.begin(), kNames.end());
  for (const ManifestCopy& copy : kept) names.insert(copy.name);
  for (const std::string& name : names) {
    const std::string target = absl::StrCat(target_dir, "/", name);
    const auto source = absl::c_find_if(sources, [&](const auto& s) { return s.name == name; });
    const auto keep = absl::c_find_if(kept, [&](const auto& copy) { return copy.name == name; });
    if (keep != kept.end()) {
      copies.push_back(*keep);
    } else if (source == sources.end()) {
      SLUICE_RETURN_IF_ERROR(RemoveFile(target));
    } else {
      ManifestCopy copy{source->name, 0, 0};
      SLUICE_RETURN_IF_ERROR(source->path.empty() ? WriteText(source->text, target, &copy)
                                                  : CopyFile(source->path, target, &copy));
      copies.push_back(std::move(copy));
    }
  }
  SLUICE_RETURN_IF_ERROR(SyncFolder(target_dir));
  return copies;
}

}  // namespace sluice
