// Loaded into the command in front of the C library: file systems that refuse locks, do not know
// their size, or take no O_DIRECT. Each is asked for by an environment variable.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace {

template <typename Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// ODD_FLOCK: the errno of every flock.
extern "C" int flock(int fd, int operation) {
  const char* const error = std::getenv("ODD_FLOCK");
  if (error == nullptr) return Next<int(int, int)>("flock")(fd, operation);
  errno = std::atoi(error);
  return -1;
}

// ODD_SIZE: "none" for 0 blocks, "endless" for more bytes than there are numbers, else an errno.
extern "C" int statvfs(const char* path, struct statvfs* info) noexcept {
  const char* const size = std::getenv("ODD_SIZE");
  const int result = Next<int(const char*, struct statvfs*)>("statvfs")(path, info);
  if (size == nullptr || result != 0) return result;
  if (std::strcmp(size, "none") == 0) {
    info->f_blocks = info->f_bfree = info->f_bavail = 0;
  } else if (std::strcmp(size, "endless") == 0) {
    info->f_blocks = info->f_bfree = info->f_bavail = ~0ul;
  } else {
    errno = std::atoi(size);
    return -1;
  }
  return 0;
}

// ODD_DIRECT: the errno of writes through a descriptor that was opened with O_DIRECT.
extern "C" ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  if (const char* const error = std::getenv("ODD_DIRECT");
      error != nullptr && (fcntl(fd, F_GETFL) & O_DIRECT) != 0) {
    errno = std::atoi(error);
    return -1;
  }
  return Next<ssize_t(int, const void*, size_t, off_t)>("pwrite")(fd, bytes, size, offset);
}

// ODD_SYNC: the errno of every fsync.
extern "C" int fsync(int fd) {
  const char* const error = std::getenv("ODD_SYNC");
  if (error == nullptr) return Next<int(int)>("fsync")(fd);
  errno = std::atoi(error);
  return -1;
}
