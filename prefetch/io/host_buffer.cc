// Maps more than is asked for, keeps the part that starts on a huge page, and gives back the rest.
#include "prefetch/io/host_buffer.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/process_limits.h"

namespace sluice {

absl::StatusOr<HostBuffer> HostBuffer::Create(int64_t bytes) {
  if (bytes == 0) return HostBuffer();
  const int64_t size = RoundedBytes(bytes);
  const int64_t slack = size >= kHugePageBytes ? kHugePageBytes : 0;
  void* const mapping =
      mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) {
    const int error = errno;
    const std::string limit = DescribeMemoryLimit(size + slack);
    return absl::ResourceExhaustedError(absl::StrCat("no room for a buffer of ", size,
                                                     " bytes: ", std::strerror(error),
                                                     limit.empty() ? "" : "; ", limit));
  }
  std::byte* begin = static_cast<std::byte*>(mapping);
  if (slack > 0) {
    const int64_t head = -reinterpret_cast<uintptr_t>(begin) % kHugePageBytes;
    if (head > 0) munmap(begin, head);
    begin += head;
    if (head < slack) munmap(begin + size, slack - head);
    madvise(begin, size, MADV_HUGEPAGE);  // refused by a kernel without them; small pages do
  }
  return HostBuffer(begin, size);
}

HostBuffer::HostBuffer(HostBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

HostBuffer& HostBuffer::operator=(HostBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

HostBuffer::~HostBuffer() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace sluice
