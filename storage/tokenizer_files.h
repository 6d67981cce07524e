// The tokenizer's files on their way from a checkpoint into a store.
#ifndef SLUICE_STORAGE_TOKENIZER_FILES_H_
#define SLUICE_STORAGE_TOKENIZER_FILES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/manifest.h"

namespace sluice {

// Which of the files that tokenizers, chat templates and generation defaults come in are in
// `source_dir`, by name, with their sizes; checksums are 0.
absl::StatusOr<std::vector<ManifestCopy>> ListTokenizerFiles(const std::string& source_dir);

// Copies them into the existing folder `target_dir`, synced, and fills in size and checksum.
// Removes what an earlier attempt copied and the source has no longer.
absl::Status CopyTokenizerFiles(const std::string& source_dir, const std::string& target_dir,
                                std::vector<ManifestCopy>* files);

}  // namespace sluice

#endif  // SLUICE_STORAGE_TOKENIZER_FILES_H_
