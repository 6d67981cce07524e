// What a clone made without Git LFS has in place of a large file: a few lines that point to the
// file.
#ifndef SLUICE_STORAGE_FILE_LFS_POINTER_H_
#define SLUICE_STORAGE_FILE_LFS_POINTER_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice {

// InvalidArgument, naming `path`: the file is a Git LFS pointer. `start` is the file's beginning,
// of which 16 bytes are looked at; the first 8 suffice where the file is of a format that does not
// begin with letters.
absl::Status CheckNoLfsPointer(absl::string_view start, absl::string_view path);

}  // namespace sluice

#endif  // SLUICE_STORAGE_FILE_LFS_POINTER_H_
