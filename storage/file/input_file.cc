// Reads by pread, past the page cache if asked.
#include "storage/file/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace sluice {

absl::StatusOr<InputFile> InputFile::Open(const std::string& path, PageCache cache) {
  InputFile file;
  file.path_ = path;
  // O_NONBLOCK: a FIFO in a file's place must be refused, not waited for.
  const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  if (cache == PageCache::kBypass) file.fd_ = FileDescriptor(open(path.c_str(), flags | O_DIRECT));
  if (file.fd_.get() < 0) file.fd_ = FileDescriptor(open(path.c_str(), flags));
  if (file.fd_.get() < 0) {
    if (errno == ENOENT) return absl::DataLossError(absl::StrCat(path, ": missing"));
    return FileError(errno, "open", path);
  }
  struct stat info;
  if (fstat(file.fd_.get(), &info) != 0) return FileError(errno, "inspect", path);
  if (!S_ISREG(info.st_mode)) return absl::DataLossError(absl::StrCat(path, ": no regular file"));
  file.bytes_ = info.st_size;
  posix_fadvise(file.fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  return file;
}

absl::StatusOr<int64_t> InputFile::ReadAt(int64_t offset, absl::Span<std::byte> out) const {
  int64_t done = 0;
  while (done < static_cast<int64_t>(out.size())) {
    const ssize_t n = pread(fd_.get(), out.data() + done, out.size() - done, offset + done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EINVAL && StopDirectIo(fd_.get())) continue;
    if (n < 0) return FileError(errno, absl::StrCat("read byte ", offset + done, " of"), path_);
    if (n == 0) break;
    done += n;
    // With O_DIRECT an odd size is the end of the file, and an odd offset would be refused.
    if (n % kDirectAlignment != 0 && offset + done >= bytes_) break;
  }
  return done;
}

absl::Status InputFile::ReadAllAt(int64_t offset, absl::Span<std::byte> out) const {
  SLUICE_ASSIGN_OR_RETURN(const int64_t n, ReadAt(offset, out));
  if (n < static_cast<int64_t>(out.size())) {
    return absl::DataLossError(absl::StrCat(path_, ": ends at byte ", offset + n, ", wanted ",
                                            offset + static_cast<int64_t>(out.size())));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path, int64_t max_bytes) {
  SLUICE_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path, PageCache::kUse));
  if (file.bytes() > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", file.bytes(), " bytes; such a file has at most ", max_bytes));
  }
  std::string text(file.bytes(), '\0');
  SLUICE_RETURN_IF_ERROR(
      file.ReadAllAt(0, absl::MakeSpan(reinterpret_cast<std::byte*>(text.data()), text.size())));
  return text;
}

}  // namespace sluice
