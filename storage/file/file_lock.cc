// Locks by flock.
#include "storage/file/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace sluice {
namespace {

// On some FUSE and 9p file systems a file's inode number differs from call to call: there its name
// can never be shown to be the locked file's.
constexpr int kMostLockAttempts = 64;

}  // namespace

absl::StatusOr<LockState> TryLock(int fd, absl::string_view path) {
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    switch (errno) {
      case EINTR:
        continue;
      case EWOULDBLOCK:
        return LockState::kHeldByOther;
      case ENOSYS:
      case ENOLCK:
      case EOPNOTSUPP:
      case EINVAL:
        return LockState::kUnsupported;
      default:
        return FileError(errno, "lock", path);
    }
  }
  return LockState::kHeld;
}

void NoteUnlocked(const std::string& path, absl::string_view what, const OnNote& on_note) {
  if (!on_note) return;
  on_note(absl::StrCat(
      path, ": this file system has no locks, so nothing keeps a second process from writing ",
      what, " at the same time; start only one"));
}

absl::StatusOr<FolderLock> FolderLock::Acquire(const std::string& dir, const OnNote& on_note) {
  const std::string path = absl::StrCat(dir, "/", kName);
  for (int attempt = 0;; ++attempt) {
    FileDescriptor fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (fd.get() < 0) return FileError(errno, "create", path);
    SLUICE_ASSIGN_OR_RETURN(const LockState state, TryLock(fd.get(), path));
    if (state == LockState::kHeldByOther) {
      return absl::UnavailableError(absl::StrCat(dir, ": another process is writing this store"));
    }
    if (state == LockState::kUnsupported) NoteUnlocked(dir, "this store", on_note);
    // Its last holder may have removed the file between our open and our lock; then the lock is on
    // a file that nobody else will ever find.
    struct stat held, named;
    if (fstat(fd.get(), &held) != 0) return FileError(errno, "inspect", path);
    const bool ours = stat(path.c_str(), &named) == 0 && named.st_ino == held.st_ino &&
                      named.st_dev == held.st_dev;
    if (ours || state == LockState::kUnsupported || attempt == kMostLockAttempts) {
      return FolderLock(std::move(fd), path);
    }
  }
}

FolderLock::~FolderLock() {
  // While the descriptor, and with it the lock, is still there
  if (fd_.get() >= 0) unlink(path_.c_str());
}

}  // namespace sluice
