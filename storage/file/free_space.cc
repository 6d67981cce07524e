// Asks by statvfs.
#include "storage/file/free_space.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "storage/file/durable_file.h"

namespace sluice {

absl::StatusOr<std::optional<FreeSpace>> ReadFreeSpace(const std::string& dir) {
  struct statvfs disk;
  if (statvfs(dir.c_str(), &disk) != 0) {
    if (errno == ENOSYS || errno == EOPNOTSUPP) return std::nullopt;
    return FileError(errno, "ask the free space of", dir);
  }
  if (disk.f_blocks == 0) return std::nullopt;
  FreeSpace space;
  space.block_bytes = static_cast<int64_t>(std::max<unsigned long>(1, disk.f_frsize));
  // File systems without an end (object stores) report counts of blocks whose bytes no integer
  // holds.
  const auto most_blocks =
      static_cast<uint64_t>(std::numeric_limits<int64_t>::max() / 2 / space.block_bytes);
  space.free_bytes =
      static_cast<int64_t>(std::min<uint64_t>(disk.f_bavail, most_blocks)) * space.block_bytes;
  return space;
}

}  // namespace sluice
