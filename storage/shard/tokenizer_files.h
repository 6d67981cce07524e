// The tokenizer's files on their way from a checkpoint into a store.
#ifndef SLUICE_STORAGE_SHARD_TOKENIZER_FILES_H_
#define SLUICE_STORAGE_SHARD_TOKENIZER_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/source/checkpoint.h"
#include "storage/store/manifest.h"

namespace sluice {

// A file for a store's tokenizer/.
struct TokenizerSource {
  std::string name;
  int64_t bytes = 0;
  std::string path;  // where it is copied from; empty: it is `text`
  std::string text;
};

// The files that tokenizers, chat templates and generation defaults come in, by name: those that
// the checkpoint's folder has, or what a GGUF file's metadata say
// (storage/source/gguf_tokenizer.h).
absl::StatusOr<std::vector<TokenizerSource>> ListTokenizerFiles(const Checkpoint& checkpoint);

// The manifest's entries for them. Reads each file for its size and checksum.
absl::StatusOr<std::vector<ManifestCopy>> TokenizerCopies(
    const std::vector<TokenizerSource>& sources);

// Writes them into the existing folder `target_dir`, synced, and returns the entries with sizes and
// checksums. Removes what an earlier attempt wrote and the source has no longer. Files whose entry
// is in `kept` are left as they are.
absl::StatusOr<std::vector<ManifestCopy>> WriteTokenizerFiles(
    const std::vector<TokenizerSource>& sources, const std::string& target_dir,
    const std::vector<ManifestCopy>& kept);

// Names of the files of which one list has another entry than the other one, or none.
std::vector<std::string> ChangedCopies(const std::vector<ManifestCopy>& before,
                                       const std::vector<ManifestCopy>& after);

// One line for each file of a store's tokenizer/ that is not what the manifest says.
std::vector<std::string> TokenizerChanges(const std::string& tokenizer_dir,
                                          const Manifest& manifest);

// What to do about such a file.
inline constexpr char kTokenizerAdvice[] =
    "`sluice shard --repair MODEL STORE` brings the checkpoint's file back; a change that is meant "
    "belongs in the "
    "checkpoint, from where the same `sluice shard` takes it over";

// The XXH3-64 of a file, and its size: what a manifest says of a copy. `name` is that of the entry.
absl::StatusOr<ManifestCopy> CopyOf(const std::string& name, const std::string& path);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_TOKENIZER_FILES_H_
