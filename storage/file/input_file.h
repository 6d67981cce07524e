// A store's file, opened for reading with its size known.
#ifndef SLUICE_STORAGE_FILE_INPUT_FILE_H_
#define SLUICE_STORAGE_FILE_INPUT_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "storage/file/durable_file.h"

namespace sluice {

class InputFile {
 public:
  // DataLoss: `path` is missing or no regular file, as a store's files must be there.
  static absl::StatusOr<InputFile> Open(const std::string& path, PageCache cache);

  const std::string& path() const { return path_; }
  int64_t bytes() const { return bytes_; }

  // Reads up to out.size() bytes; fewer only at the file's end. Thread-safe. Unavailable: I/O
  // error.
  absl::StatusOr<int64_t> ReadAt(int64_t offset, absl::Span<std::byte> out) const;
  // DataLoss: the file ends before `out` is full.
  absl::Status ReadAllAt(int64_t offset, absl::Span<std::byte> out) const;

 private:
  InputFile() = default;
  FileDescriptor fd_;
  std::string path_;
  int64_t bytes_ = 0;
};

// A whole file of at most `max_bytes`.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, int64_t max_bytes);

}  // namespace sluice

#endif  // SLUICE_STORAGE_FILE_INPUT_FILE_H_
