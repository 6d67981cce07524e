// Files that survive a crash: written and synced, or renamed into place. Nothing here is specific
// to stores.
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

// Makes the status "cannot <action> <path>: <errno's text>". ResourceExhausted: no space, quota or
// size limit. PermissionDenied, NotFound; Unavailable for I/O errors and everything else.
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
  // O_DIRECT if the file system has it: offsets, sizes and addresses are then multiples of
  // kDirectAlignment
  kBypass,
};

// Returns whether fsync's errno means that this file system cannot sync such a file or folder, as
// with some network and user-space file systems. Nobody can tell then whether the data is durable.
bool CannotSync(int error);

// Makes a file that was opened with O_DIRECT go through the page cache from now on, after a read or
// a write of whole blocks was refused with EINVAL. Returns false if the file does so already, or
// cannot. Any thread.
bool StopDirectIo(int fd);

// O_DIRECT accepts memory with this alignment.
inline constexpr int64_t kDirectAlignment = 4096;
struct FreeBytes {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};
using AlignedBytes = std::unique_ptr<std::byte[], FreeBytes>;
// `bytes` is rounded up to kDirectAlignment.
AlignedBytes AllocateAligned(int64_t bytes);

// A file of known size that any threads write at any offsets.
class OutputFile {
 public:
  OutputFile() = default;
  // Creates or empties `path`, and reserves `bytes` on disk if the file system can. The file then
  // has that size and reads as zeros.
  static absl::StatusOr<OutputFile> Create(const std::string& path, int64_t bytes, PageCache cache);

  // Writes all of `bytes`. Bytes in the page cache are sent on to the disk at once, so that Sync()
  // finds little left. If a file system opens files for O_DIRECT and then refuses to write to them,
  // the bytes go through the page cache.
  absl::Status WriteAt(int64_t offset, absl::Span<const std::byte> bytes) const;
  // Gives back the space that was reserved behind `bytes`
  absl::Status Truncate(int64_t bytes) const;
  absl::Status Sync() const;  // fsync
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

// Makes names durable that were created or removed in `dir`.
absl::Status SyncFolder(const std::string& dir);
// Creates a folder whose parent exists, and makes its name durable. OK if the folder exists.
absl::Status MakeFolder(const std::string& dir);
// Removes a file. OK if there is none.
absl::Status RemoveFile(const std::string& path);

}  // namespace sluice

#endif  // SLUICE_STORAGE_FILE_DURABLE_FILE_H_
