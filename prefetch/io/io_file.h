// A file that is opened for reads past the page cache, or for buffered reads that drop their pages;
// scratch files, which can be written, too.
#ifndef SLUICE_PREFETCH_IO_IO_FILE_H_
#define SLUICE_PREFETCH_IO_IO_FILE_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice {

// A file descriptor, closed by the destructor.
class UniqueFd {
 public:
  explicit UniqueFd(int fd = -1) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept;
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  ~UniqueFd();
  int get() const { return fd_; }

 private:
  int fd_;
};

class IoFile {
 public:
  // Opens `path`, with O_DIRECT if `direct` is set and its file system has it: one read of 4096
  // bytes is tried, as some systems take the flag and refuse the reads. NotFound, PermissionDenied,
  // ... name the path.
  static absl::StatusOr<IoFile> Open(absl::string_view path, bool direct);
  // Creates a file without a name in `dir`, so that nothing is left of it however this process
  // ends. `direct` as above, but one write is tried.
  static absl::StatusOr<IoFile> CreateScratch(absl::string_view dir, bool direct);

  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }
  bool direct() const { return direct_; }
  // Returns the device number of the file's file system: equal for files on one disk.
  dev_t disk() const { return disk_; }

  // Takes [offset, offset + bytes) out of the page cache, after a buffered read has put it there.
  void DropPages(int64_t offset, int64_t bytes) const;

 private:
  IoFile(std::string path, UniqueFd fd, bool direct);

  std::string path_;
  UniqueFd fd_;
  bool direct_;
  dev_t disk_;
};

// Describes the files of an engine that was asked for O_DIRECT or not, for the report: "O_DIRECT",
// "buffered reads", or both, with the file whose system refuses O_DIRECT.
std::string DescribeFiles(absl::Span<const IoFile> files, bool asked_direct);

}  // namespace sluice

#endif  // SLUICE_PREFETCH_IO_IO_FILE_H_
