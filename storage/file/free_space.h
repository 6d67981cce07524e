// How much can still be written to a file system, if the file system tells.
#ifndef SLUICE_STORAGE_FILE_FREE_SPACE_H_
#define SLUICE_STORAGE_FILE_FREE_SPACE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace sluice {

struct FreeSpace {
  int64_t block_bytes = 1;  // a file's size on disk is rounded up to this, at least 1
  int64_t free_bytes = 0;   // for this user
};

// Returns the free space of the file system that `dir` is on. Returns nothing if the file system
// does not know: ramfs and some FUSE and 9p file systems report a size of 0 blocks, others refuse
// the question. Everything else is an error of FileError.
absl::StatusOr<std::optional<FreeSpace>> ReadFreeSpace(const std::string& dir);

}  // namespace sluice

#endif  // SLUICE_STORAGE_FILE_FREE_SPACE_H_
