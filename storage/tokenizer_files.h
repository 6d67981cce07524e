// The tokenizer's files on their way from a checkpoint into a store.
#ifndef SLUICE_STORAGE_TOKENIZER_FILES_H_
#define SLUICE_STORAGE_TOKENIZER_FILES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/checkpoint.h"
#include "storage/manifest.h"

namespace sluice {

// A file for a store's tokenizer/.
struct TokenizerSource {
  std::string name;
  int64_t bytes = 0;
  std::string path;  // where it is copied from; empty: it is `text`
  std::string text;
};

// The files that tokenizers, chat templates and generation defaults come in, by name: those that
// the checkpoint's folder has, or what a GGUF file's metadata say (storage/gguf_tokenizer.h).
absl::StatusOr<std::vector<TokenizerSource>> ListTokenizerFiles(const Checkpoint& checkpoint);

// The manifest's entries for them; checksums are 0.
std::vector<ManifestCopy> TokenizerCopies(const std::vector<TokenizerSource>& sources);

// Writes them into the existing folder `target_dir`, synced, and returns the entries with sizes and
// checksums. Removes what an earlier attempt wrote and the source has no longer.
absl::StatusOr<std::vector<ManifestCopy>> WriteTokenizerFiles(
    const std::vector<TokenizerSource>& sources, const std::string& target_dir);

}  // namespace sluice

#endif  // SLUICE_STORAGE_TOKENIZER_FILES_H_
