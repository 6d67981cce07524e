// A file that grows at its end, by whole pieces.
#ifndef SLUICE_RUNTIME_BATCH_APPEND_FILE_H_
#define SLUICE_RUNTIME_BATCH_APPEND_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/file/durable_file.h"
#include "storage/file/file_lock.h"

namespace sluice {

class AppendFile {
 public:
  // Opens `path` for appending, or creates it. Errors of FileError.
  static absl::StatusOr<AppendFile> Open(const std::string& path);

  // Takes an exclusive lock, which this object holds to its end. Unavailable: another process has
  // it. On a file system without locks the file is not locked, and `on_note`, if given, is called
  // to say so.
  absl::Status Lock(const OnNote& on_note = nullptr) const;
  // Writes all of `bytes` at the end. If that fails, the part that was written is cut off again.
  absl::Status Append(absl::string_view bytes);
  absl::Status Truncate(int64_t bytes);
  absl::Status Sync() const;  // fsync
  // DataLoss: the path is gone, or the file there has another size: somebody moved, removed or
  // changed the file.
  absl::Status CheckStillThere() const;

  int64_t size() const { return size_; }
  const std::string& path() const { return path_; }

 private:
  FileDescriptor fd_;
  std::string path_;
  int64_t size_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BATCH_APPEND_FILE_H_
