// Files that survive a crash: written and synced, or renamed into place. None of it is specific to
// stores.
#ifndef SLUICE_STORAGE_FILE_DURABLE_FILE_H_
#define SLUICE_STORAGE_FILE_DURABLE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

// "cannot <action> <path>: <errno's text>". ResourceExhausted: no space, quota or size limit.
// PermissionDenied, NotFound; Unavailable for I/O errors and all else.
absl::Status FileError(int error, absl::string_view action, absl::string_view path);

// An open file descriptor, or -1. Move-only; closed by the destructor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.Release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();
  int get() const { return fd_; }
  int Release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_ = -1;
};

enum class PageCache : uint8_t {
  kUse,
  kBypass,  // O_DIRECT where the file system has it: offsets, sizes and addresses are then
            // multiples of kDirectAlignment.
};

// Whether fsync's errno means that this file system cannot sync such a file or folder, as some
// network and user-space ones: what they were given is durable or not, and nobody can tell.
bool CannotSync(int error);

// Has a file that was opened with O_DIRECT go through the page cache from now on: where a read or a
// write of whole blocks was refused with EINVAL. False where it does so already, or cannot. Any
// thread.
bool StopDirectIo(int fd);

// Memory that O_DIRECT accepts.
inline constexpr int64_t kDirectAlignment = 4096;
struct FreeBytes {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};
using AlignedBytes = std::unique_ptr<std::byte[], FreeBytes>;
// `bytes` is rounded up to kDirectAlignment.
AlignedBytes AllocateAligned(int64_t bytes);

// A file of known size that is written at any offsets, by any threads.
class OutputFile {
 public:
  OutputFile() = default;
  // Creates or empties `path`, and reserves `bytes` on disk where the file system can. The file
  // then has that size and reads as zeros.
  static absl::StatusOr<OutputFile> Create(const std::string& path, int64_t bytes, PageCache cache);

  // Writes all of `bytes`. What goes through the page cache starts on its way to the disk, so that
  // Sync() finds little left. A file system that opens files for O_DIRECT and then refuses to write
  // so gets the bytes through the page cache.
  absl::Status WriteAt(int64_t offset, absl::Span<const std::byte> bytes) const;
  absl::Status Truncate(int64_t bytes) const;  // gives what was reserved behind `bytes` back
  absl::Status Sync() const;                   // fsync
  const std::string& path() const { return path_; }
  bool is_open() const { return fd_.get() >= 0; }

 private:
  FileDescriptor fd_;
  std::string path_;
  bool direct_ = false;
};

// Replaces `dir`/`name` by `text`: a temporary file (`name`.tmp), fsync, rename, fsync of `dir`.
absl::Status WriteFileAtomically(const std::string& dir, absl::string_view name,
                                 absl::string_view text);

// Makes names created or removed in `dir` durable.
absl::Status SyncFolder(const std::string& dir);
// Creates a folder whose parent exists, and makes its name durable. OK where it is there already.
absl::Status MakeFolder(const std::string& dir);
// Removes a file. OK where there is none.
absl::Status RemoveFile(const std::string& path);

}  // namespace sluice

#endif  // SLUICE_STORAGE_FILE_DURABLE_FILE_H_
