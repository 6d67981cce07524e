// How much can still be written to a file system, where it says so.
#ifndef SLUICE_STORAGE_FILE_FREE_SPACE_H_
#define SLUICE_STORAGE_FILE_FREE_SPACE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace sluice {

struct FreeSpace {
  int64_t block_bytes = 1;  // what a file's size is rounded up to on disk, at least 1
  int64_t free_bytes = 0;   // for this user
};

// Of the file system that `dir` is on. Nothing for one that does not know: ramfs and some FUSE and
// 9p file systems report a size of 0 blocks, others refuse the question. Errors of FileError for
// all else.
absl::StatusOr<std::optional<FreeSpace>> ReadFreeSpace(const std::string& dir);

}  // namespace sluice

#endif  // SLUICE_STORAGE_FILE_FREE_SPACE_H_
