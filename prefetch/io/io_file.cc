// Opens files, and finds out whether O_DIRECT is to be had.
#include "prefetch/io/io_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "prefetch/io/host_buffer.h"

namespace sluice {
namespace {

int OpenRetrying(const std::string& path, int flags) {
  int fd;
  do {
    fd = open(path.c_str(), O_CLOEXEC | flags, 0600);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

bool NoDirectIo(int error) { return error == EINVAL || error == EOPNOTSUPP || error == ENOSYS; }

// Any error but a refusal of such reads is left for later: it comes again, with its slab, when the
// slab is read.
bool RefusesDirectReads(int fd) {
  alignas(kReadAlignment) std::byte probe[kReadAlignment];
  return pread(fd, probe, sizeof(probe), 0) < 0 && NoDirectIo(errno);
}

// Writes, because a read of an empty file would succeed.
bool RefusesDirectWrites(int fd) {
  alignas(kReadAlignment) const std::byte probe[kReadAlignment] = {};
  return pwrite(fd, probe, sizeof(probe), 0) < 0 && NoDirectIo(errno);
}

// Opens a file that has no name, or loses it at once on file systems without unnamed files. Returns
// -1 and sets errno if it cannot.
int OpenUnnamed(const std::string& dir) {
  const int fd = OpenRetrying(dir, O_RDWR | O_TMPFILE);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOSYS))
    return fd;
  std::string path = absl::StrCat(dir, "/.sluice-XXXXXX");
  const int named = mkostemp(path.data(), O_CLOEXEC);
  if (named >= 0) unlink(path.c_str());
  return named;
}

}  // namespace

UniqueFd::UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

IoFile::IoFile(std::string path, UniqueFd fd, bool direct)
    : path_(std::move(path)), fd_(std::move(fd)), direct_(direct) {
  struct stat status = {};
  fstat(fd_.get(), &status);  // cannot fail: the descriptor is open
  disk_ = status.st_dev;
}

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<IoFile> IoFile::Open(absl::string_view path, bool direct) {
  std::string name(path);
  if (direct) {
    UniqueFd fd(OpenRetrying(name, O_RDONLY | O_DIRECT));
    if (fd.get() >= 0 && !RefusesDirectReads(fd.get())) {
      return IoFile(std::move(name), std::move(fd), true);
    }
  }
  UniqueFd fd(OpenRetrying(name, O_RDONLY));
  if (fd.get() < 0) return absl::ErrnoToStatus(errno, absl::StrCat(name, ": cannot be opened"));
  // Readahead is off: it reads more than was asked for, into folios that straddle the ranges, and
  // DropPages() cannot drop a part of a folio (95% of a 4 GB file stayed in the cache).
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_RANDOM);
  return IoFile(std::move(name), std::move(fd), false);
}

absl::StatusOr<IoFile> IoFile::CreateScratch(absl::string_view dir, bool direct) {
  std::string name = absl::StrCat(dir, "/(scratch file)");
  UniqueFd fd(OpenUnnamed(std::string(dir)));
  if (fd.get() < 0) return absl::ErrnoToStatus(errno, absl::StrCat(name, ": cannot be created"));
  if (direct && fcntl(fd.get(), F_SETFL, O_DIRECT) == 0) {
    if (!RefusesDirectWrites(fd.get())) return IoFile(std::move(name), std::move(fd), true);
    fcntl(fd.get(), F_SETFL, 0);
  }
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_RANDOM);
  return IoFile(std::move(name), std::move(fd), false);
}

void IoFile::DropPages(int64_t offset, int64_t bytes) const {
  posix_fadvise(fd(), offset, bytes, POSIX_FADV_DONTNEED);
}

std::string DescribeFiles(absl::Span<const IoFile> files, bool asked_direct) {
  if (!asked_direct) return "buffered reads";
  int buffered = 0;
  const IoFile* first = nullptr;
  for (const IoFile& file : files) {
    if (!file.direct() && buffered++ == 0) first = &file;
  }
  if (buffered == 0) return "O_DIRECT";
  return absl::StrCat(buffered == files.size() ? "buffered reads" : "O_DIRECT and buffered reads",
                      " (the file system of ", first->path(), " refuses O_DIRECT)");
}

}  // namespace sluice
