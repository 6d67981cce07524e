// Locks that keep a second writer out; on file systems that have no locks, a note says so.
#ifndef SLUICE_STORAGE_FILE_FILE_LOCK_H_
#define SLUICE_STORAGE_FILE_FILE_LOCK_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/file/durable_file.h"

namespace sluice {

// Receives one line for the user about something that was left out: "DIR: ...".
using OnNote = std::function<void(absl::string_view note)>;

enum class LockState : uint8_t {
  kHeld,
  kHeldByOther,
  kUnsupported,  // the file system has no locks: nobody can hold one
};

// Takes an exclusive flock on an open file without waiting; closing the descriptor releases it.
// kUnsupported: Lustre without `-o flock` answers ENOSYS, NFS without a lock manager ENOLCK, some
// FUSE and 9p file systems EOPNOTSUPP or EINVAL. Everything else is an error of FileError, which
// names `path`.
absl::StatusOr<LockState> TryLock(int fd, absl::string_view path);

// Says that `what` ("this store") is written without a lock. Does nothing if `on_note` is null.
void NoteUnlocked(const std::string& path, absl::string_view what, const OnNote& on_note);

// An exclusive flock on `dir`/.lock. The file is removed with the lock; a file that a killed
// process has left behind means nothing. (The folder itself is not locked, because NFS wants a file
// open for writing.)
class FolderLock {
 public:
  static constexpr char kName[] = ".lock";
  // Unavailable: another process holds it. On a file system without locks the folder is not locked,
  // and `on_note`, if given, is called once to say so.
  static absl::StatusOr<FolderLock> Acquire(const std::string& dir,
                                            const OnNote& on_note = nullptr);
  FolderLock(FolderLock&&) = default;
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  FolderLock(FileDescriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  FileDescriptor fd_;
  std::string path_;
};

}  // namespace sluice

#endif  // SLUICE_STORAGE_FILE_FILE_LOCK_H_
