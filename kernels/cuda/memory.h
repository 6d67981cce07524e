// Memory of a device and pinned memory of the host, as types that free themselves.
#ifndef SLUICE_KERNELS_CUDA_MEMORY_H_
#define SLUICE_KERNELS_CUDA_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice::cuda {

// Where device memory comes from: the driver, a budget, or a test that gives each buffer its own
// fences.
class DeviceAllocator {
 public:
  virtual ~DeviceAllocator() = default;
  // `bytes` > 0, on 256. `what` is for the error: "KV cache". ResourceExhausted names bytes wanted
  // and free.
  virtual absl::StatusOr<void*> Allocate(int64_t bytes, absl::string_view what) = 0;
  // Work that uses the memory has run, or runs before this frees it.
  virtual void Free(void* memory) = 0;
};

// Of the calling thread's device, straight from the driver.
class CudaAllocator : public DeviceAllocator {
 public:
  absl::StatusOr<void*> Allocate(int64_t bytes, absl::string_view what) override;
  void Free(void* memory) override;
};

class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  // 0 bytes is an empty buffer. The allocator must outlive it.
  static absl::StatusOr<DeviceBuffer> Create(DeviceAllocator* allocator, int64_t bytes,
                                             absl::string_view what);
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(allocator_, other.allocator_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~DeviceBuffer();

  std::byte* data() const { return data_; }  // memory of the device
  int64_t bytes() const { return bytes_; }

 private:
  DeviceAllocator* allocator_ = nullptr;
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

// Host memory that the device copies from and to without the CPU. It cannot be swapped out: budget
// it.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  // ResourceExhausted names the bytes.
  static absl::StatusOr<PinnedBuffer> Create(int64_t bytes, absl::string_view what);
  PinnedBuffer(PinnedBuffer&& other) noexcept { *this = std::move(other); }
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~PinnedBuffer();

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

// Pins memory that is there already, as long as it lives.
class PinnedRange {
 public:
  PinnedRange() = default;
  // `host` begins on a page. ResourceExhausted names the bytes.
  static absl::StatusOr<PinnedRange> Create(absl::Span<std::byte> host);
  PinnedRange(PinnedRange&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  PinnedRange& operator=(PinnedRange&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~PinnedRange();

 private:
  std::byte* data_ = nullptr;
};

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_MEMORY_H_
