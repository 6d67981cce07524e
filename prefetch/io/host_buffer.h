// A page-aligned region of host memory for reads, in huge pages if the system has them.
#ifndef SLUICE_PREFETCH_IO_HOST_BUFFER_H_
#define SLUICE_PREFETCH_IO_HOST_BUFFER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/base/align.h"

namespace sluice {

// O_DIRECT asks for this alignment of offsets, sizes and addresses; slabs start at it on disk and
// in memory.
inline constexpr int64_t kReadAlignment = 4096;
inline constexpr int64_t kHugePageBytes = int64_t{2} << 20;

// An anonymous mapping, zero until written, unmapped by the destructor. Pages are taken from the
// system as they are touched, 2 MiB at a time where transparent huge pages are on.
class HostBuffer {
 public:
  // Returns what a buffer of `bytes` really holds: whole huge pages from 2 MiB on, whole pages
  // below.
  static constexpr int64_t RoundedBytes(int64_t bytes) {
    return RoundUp(bytes, bytes >= kHugePageBytes ? kHugePageBytes : kReadAlignment);
  }

  // Maps RoundedBytes(bytes) of memory, aligned to a huge page from 2 MiB on; empty for 0.
  // ResourceExhausted: the system has no such range.
  static absl::StatusOr<HostBuffer> Create(int64_t bytes);

  HostBuffer() = default;
  HostBuffer(HostBuffer&& other) noexcept;
  HostBuffer& operator=(HostBuffer&& other) noexcept;
  ~HostBuffer();

  std::byte* data() const { return data_; }
  int64_t size() const { return size_; }
  absl::Span<std::byte> span() const { return {data_, static_cast<size_t>(size_)}; }

 private:
  HostBuffer(std::byte* data, int64_t size) : data_(data), size_(size) {}

  std::byte* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_IO_HOST_BUFFER_H_
