// The open file and the header of a safetensors file, which Checkpoint needs beyond its tensors.
#ifndef SLUICE_STORAGE_SOURCE_SAFETENSORS_H_
#define SLUICE_STORAGE_SOURCE_SAFETENSORS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/file/durable_file.h"
#include "storage/source/checkpoint.h"

namespace sluice {

struct SafetensorsHeader {
  std::string text;  // JSON, without the 8 bytes of its length
  int64_t file_bytes = 0;
};

// Opens a regular file for reading. NotFound, PermissionDenied,
// InvalidArgument (no regular file), ResourceExhausted (too many open files) name the path.
absl::StatusOr<FileDescriptor> OpenForReading(const std::string& path);

// Reads the header through `fd` (pread). InvalidArgument: the file is no
// safetensors file, or shorter than its header says. Unavailable: a failed read.
absl::StatusOr<SafetensorsHeader> ReadSafetensorsHeader(int fd, const std::string& path);

// Makes a tensor's name fit for a one-line message: escapes it, and cuts it if it is long.
std::string ShownName(absl::string_view name);

}  // namespace sluice

#endif  // SLUICE_STORAGE_SOURCE_SAFETENSORS_H_
