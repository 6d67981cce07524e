// Appending by plain system calls.
#include "runtime/batch/append_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "kernels/status_macros.h"

namespace sluice {

absl::StatusOr<AppendFile> AppendFile::Open(const std::string& path) {
  AppendFile file;
  file.path_ = path;
  file.fd_ = FileDescriptor(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (file.fd_.get() < 0) return FileError(errno, "open", path);
  struct stat info;
  if (fstat(file.fd_.get(), &info) != 0) return FileError(errno, "inspect", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is no regular file: it could not be gone on with"));
  }
  file.size_ = info.st_size;
  return file;
}

absl::Status AppendFile::Lock() const {
  while (flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return FileError(errno, "lock", path_);
    return absl::UnavailableError(absl::StrCat(path_, ": another process is writing this job's results"));
  }
  return absl::OkStatus();
}

absl::Status AppendFile::Append(absl::string_view bytes) {
  const int64_t before = size_;
  while (!bytes.empty()) {
    const ssize_t n = write(fd_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const absl::Status status = FileError(n < 0 ? errno : EIO, "write", path_);
      // Best effort: a torn tail that stays is cut when the job goes on.
      if (ftruncate(fd_.get(), before) == 0) size_ = before;
      return status;
    }
    bytes.remove_prefix(n);
    size_ += n;
  }
  return absl::OkStatus();
}

absl::Status AppendFile::Truncate(int64_t bytes) {
  if (ftruncate(fd_.get(), bytes) != 0) return FileError(errno, "set the size of", path_);
  size_ = bytes;
  return absl::OkStatus();
}

absl::Status AppendFile::Sync() const {
  if (fsync(fd_.get()) != 0) return FileError(errno, "sync", path_);
  return absl::OkStatus();
}

}  // namespace sluice
