// Loads the tokenizer, and looks for files that it may be meant to come from.
#include "tools/tokenizer_check.h"

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "runtime/chat/model_files.h"
#include "runtime/text/tokenizer/tokenizer.h"
#include "storage/file/lfs_pointer.h"
#include "storage/shard/tokenizer_files.h"

namespace sluice {
namespace {

absl::Status TryTokenizer(const Checkpoint& checkpoint) {
  if (checkpoint.format() == CheckpointFormat::kSafetensors) {
    return Tokenizer::Load(checkpoint.path()).status();
  }
  SLUICE_ASSIGN_OR_RETURN(const ModelFiles files, ModelFiles::Open(checkpoint.path()));
  return files.LoadTokenizer().status();
}

// That none of the files that go into the store is a Git LFS pointer.
absl::Status CheckNoPointers(const Checkpoint& checkpoint) {
  if (checkpoint.format() != CheckpointFormat::kSafetensors) return absl::OkStatus();
  const absl::StatusOr<std::vector<TokenizerSource>> files = ListTokenizerFiles(checkpoint);
  if (!files.ok()) return absl::OkStatus();  // sharding says so
  for (const TokenizerSource& file : *files) {
    std::ifstream in(file.path, std::ios::binary);
    std::string start(256, '\0');
    in.read(start.data(), static_cast<std::streamsize>(start.size()));
    start.resize(static_cast<size_t>(in.gcount()));
    SLUICE_RETURN_IF_ERROR(CheckNoLfsPointer(start, file.path));
  }
  return absl::OkStatus();
}

// Names in the folder that tokenizers of any kind have.
std::set<std::string> TokenizerLikeFiles(const std::string& folder) {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    for (const char* const part :
         {"token", "tekken", "vocab", "merges", "spiece", "sentencepiece", "bpe"}) {
      if (absl::StrContains(absl::AsciiStrToLower(name), part)) names.insert(name);
    }
  }
  return names;
}

}  // namespace

std::string TokenizerFault(const Checkpoint& checkpoint) {
  const absl::Status status = TryTokenizer(checkpoint);
  if (status.ok()) {
    const absl::Status pointer = CheckNoPointers(checkpoint);
    return pointer.ok()
               ? ""
               : absl::StrCat(pointer.message(),
                              "; then the same `sluice shard` takes the file over into the store");
  }
  std::string fault(status.message());
  if (absl::IsNotFound(status) && checkpoint.format() == CheckpointFormat::kSafetensors) {
    const std::set<std::string> names = TokenizerLikeFiles(checkpoint.path());
    if (!names.empty()) absl::StrAppend(&fault, "; there are ", absl::StrJoin(names, ", "));
  }
  return absl::StrCat(fault,
                      "; until that is mended, prompts can be given as token ids only; then the "
                      "same `sluice shard` takes the tokenizer over into the store");
}

}  // namespace sluice
