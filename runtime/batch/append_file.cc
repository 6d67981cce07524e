// Appending by plain system calls.
#include "runtime/batch/append_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace sluice {

absl::StatusOr<AppendFile> AppendFile::Open(const std::string& path) {
  AppendFile file;
  file.path_ = path;
  file.fd_ = FileDescriptor(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (file.fd_.get() < 0) return FileError(errno, "open", path);
  struct stat info;
  if (fstat(file.fd_.get(), &info) != 0) return FileError(errno, "inspect", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not a regular file, so a job cannot continue it; give another -o"));
  }
  file.size_ = info.st_size;
  return file;
}

absl::Status AppendFile::Lock(const OnNote& on_note) const {
  SLUICE_ASSIGN_OR_RETURN(const LockState state, TryLock(fd_.get(), path_));
  if (state == LockState::kHeldByOther) {
    return absl::UnavailableError(
        absl::StrCat(path_, ": another process is writing this job's results"));
  }
  if (state == LockState::kUnsupported) NoteUnlocked(path_, "this job's results", on_note);
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

absl::Status AppendFile::CheckStillThere() const {
  struct stat info;
  if (stat(path_.c_str(), &info) != 0) {
    if (errno != ENOENT) return FileError(errno, "inspect", path_);
    return absl::DataLossError(
        absl::StrCat(path_, " was moved or removed while the job wrote it; put it back"));
  }
  if (info.st_size == size_) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(path_, " has ", info.st_size, " bytes, and the job has written ", size_,
                   ": another program changed it; run the job again to complete it"));
}

absl::Status AppendFile::Truncate(int64_t bytes) {
  if (ftruncate(fd_.get(), bytes) != 0) return FileError(errno, "set the size of", path_);
  size_ = bytes;
  return absl::OkStatus();
}

absl::Status AppendFile::Sync() const {
  if (fsync(fd_.get()) != 0 && !CannotSync(errno)) return FileError(errno, "sync", path_);
  return absl::OkStatus();
}

}  // namespace sluice
