// Writes, syncs and renames by plain system calls.
#include "storage/file/durable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace sluice {
namespace {

std::string ParentOf(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status WriteAll(int fd, int64_t offset, absl::Span<const std::byte> bytes,
                      const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd, bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EINVAL && StopDirectIo(fd)) continue;
    if (n <= 0) return FileError(n < 0 ? errno : EIO, "write", path);
    bytes.remove_prefix(n);
    offset += n;
  }
  return absl::OkStatus();
}

}  // namespace

bool CannotSync(int error) {
  return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == EBADF ||
         error == EISDIR;
}

bool StopDirectIo(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_DIRECT) != 0 && fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

absl::Status FileError(int error, absl::string_view action, absl::string_view path) {
  const std::string what = absl::StrCat("cannot ", action, " ", path);
  const absl::Status status = absl::ErrnoToStatus(error, what);
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(status.message());
    case EFBIG:
      return absl::ResourceExhaustedError(
          absl::StrCat(status.message(), " (`ulimit -f`, or the file system's limit)"));
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(status.message());
    case ENOENT:
      return absl::NotFoundError(status.message());
    default:
      return absl::UnavailableError(status.message());
  }
}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) close(fd_);
}

AlignedBytes AllocateAligned(int64_t bytes) {
  const int64_t blocks = (bytes + kDirectAlignment - 1) / kDirectAlignment;
  void* memory =
      std::aligned_alloc(kDirectAlignment, std::max<int64_t>(1, blocks) * kDirectAlignment);
  if (memory == nullptr) throw std::bad_alloc();
  return AlignedBytes(static_cast<std::byte*>(memory));
}

absl::StatusOr<OutputFile> OutputFile::Create(const std::string& path, int64_t bytes,
                                              PageCache cache) {
  OutputFile file;
  file.path_ = path;
  const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
  if (cache == PageCache::kBypass) {
    file.fd_ = FileDescriptor(open(path.c_str(), flags | O_DIRECT, 0644));
    file.direct_ = file.fd_.get() >= 0;
  }
  if (file.fd_.get() < 0) file.fd_ = FileDescriptor(open(path.c_str(), flags, 0644));
  if (file.fd_.get() < 0) return FileError(errno, "create", path);
  // Reserving lays the file out in one piece however the threads' writes interleave, and finds a
  // full disk before the work is done instead of after.
  if (bytes > 0 && fallocate(file.fd_.get(), 0, 0, bytes) != 0 &&
      (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
    return FileError(errno, absl::StrCat("reserve ", bytes, " bytes for"), path);
  }
  if (ftruncate(file.fd_.get(), bytes) != 0) return FileError(errno, "set the size of", path);
  return file;
}

absl::Status OutputFile::WriteAt(int64_t offset, absl::Span<const std::byte> bytes) const {
  SLUICE_RETURN_IF_ERROR(WriteAll(fd_.get(), offset, bytes, path_));
  // Only a hint: Sync() reports what fails.
  if (!direct_) sync_file_range(fd_.get(), offset, bytes.size(), SYNC_FILE_RANGE_WRITE);
  return absl::OkStatus();
}

absl::Status OutputFile::Truncate(int64_t bytes) const {
  if (ftruncate(fd_.get(), bytes) != 0) return FileError(errno, "set the size of", path_);
  return absl::OkStatus();
}

absl::Status OutputFile::Sync() const {
  if (fsync(fd_.get()) != 0 && !CannotSync(errno)) return FileError(errno, "sync", path_);
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(const std::string& dir, absl::string_view name,
                                 absl::string_view text) {
  const std::string path = absl::StrCat(dir, "/", name);
  const std::string temporary = absl::StrCat(path, ".tmp");
  SLUICE_ASSIGN_OR_RETURN(const OutputFile file, OutputFile::Create(temporary, 0, PageCache::kUse));
  SLUICE_RETURN_IF_ERROR(
      file.WriteAt(0, {reinterpret_cast<const std::byte*>(text.data()), text.size()}));
  SLUICE_RETURN_IF_ERROR(file.Sync());
  if (rename(temporary.c_str(), path.c_str()) != 0) return FileError(errno, "rename to", path);
  return SyncFolder(dir);
}

absl::Status SyncFolder(const std::string& dir) {
  const FileDescriptor fd(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return FileError(errno, "open folder", dir);
  if (fsync(fd.get()) != 0 && !CannotSync(errno)) return FileError(errno, "sync folder", dir);
  return absl::OkStatus();
}

absl::Status MakeFolder(const std::string& dir) {
  if (mkdir(dir.c_str(), 0755) != 0) {
    const int error = errno;
    struct stat info;
    if (error == EEXIST && stat(dir.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
      return absl::OkStatus();
    }
    return FileError(error, "create folder", dir);
  }
  return SyncFolder(ParentOf(dir));
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return FileError(errno, "remove", path);
  return absl::OkStatus();
}

}  // namespace sluice
