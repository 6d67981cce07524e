// Brings the tokenizer's files from a checkpoint into a store.
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
  std::string path;  // the file that is copied; empty: `text` is written
  std::string text;
};

// Lists the files of tokenizers, chat templates and generation defaults, by name: those in the
// checkpoint's folder, or those that a GGUF file's metadata describe
// (storage/source/gguf_tokenizer.h).
absl::StatusOr<std::vector<TokenizerSource>> ListTokenizerFiles(const Checkpoint& checkpoint);

// Returns the manifest's entries for the files. Reads each file for its size and checksum.
absl::StatusOr<std::vector<ManifestCopy>> TokenizerCopies(
    const std::vector<TokenizerSource>& sources);

// Writes the files into the existing folder `target_dir`, synced, and returns the entries with
// sizes and checksums. Removes files that an earlier attempt wrote and the source does not have any
// more. Files whose entry is in `kept` are left as they are.
absl::StatusOr<std::vector<ManifestCopy>> WriteTokenizerFiles(
    const std::vector<TokenizerSource>& sources, const std::string& target_dir,
    const std::vector<ManifestCopy>& kept);

// Returns the names of the files whose entries differ between the two lists, or stand in only one.
std::vector<std::string> ChangedCopies(const std::vector<ManifestCopy>& before,
                                       const std::vector<ManifestCopy>& after);

// Returns a line for each file of a store's tokenizer/ that differs from the manifest.
std::vector<std::string> TokenizerChanges(const std::string& tokenizer_dir,
                                          const Manifest& manifest);

// The advice about such a file.
inline constexpr char kTokenizerAdvice[] =
    "`sluice shard --repair MODEL STORE` brings the checkpoint's file back; a change that is meant "
    "belongs in the "
    "checkpoint, from where the same `sluice shard` takes it over";

// Returns a manifest's entry for a file: its XXH3-64 and its size. `name` is the entry's.
absl::StatusOr<ManifestCopy> CopyOf(const std::string& name, const std::string& path);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SHARD_TOKENIZER_FILES_H_
