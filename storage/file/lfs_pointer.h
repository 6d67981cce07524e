// Finds Git LFS pointers: a clone that was made without Git LFS has a few lines that point to a
// large file in place of that file.
#ifndef SLUICE_STORAGE_FILE_LFS_POINTER_H_
#define SLUICE_STORAGE_FILE_LFS_POINTER_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice {

// InvalidArgument, naming `path`: the file is a Git LFS pointer. `start` is the file's beginning;
// 16 bytes of it are looked at. 8 suffice for a format that does not begin with letters.
absl::Status CheckNoLfsPointer(absl::string_view start, absl::string_view path);

}  // namespace sluice

#endif  // SLUICE_STORAGE_FILE_LFS_POINTER_H_
