// Allocates from the driver and says what it was for when that fails.
#include "kernels/cuda/memory.h"

#include <cuda_runtime_api.h>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/cuda/cuda_status.h"

namespace sluice::cuda {

absl::StatusOr<void*> CudaAllocator::Allocate(int64_t bytes, absl::string_view what) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, static_cast<size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // forgotten: running out of memory does not harm the device
    size_t free = 0;
    size_t total = 0;
    SLUICE_RETURN_IF_ERROR(CudaStatus(cudaMemGetInfo(&free, &total), "asking for free memory"));
    return absl::ResourceExhaustedError(absl::StrCat("CUDA: out of memory: ", what, " needs ",
                                                     bytes, " bytes of device memory, ", free,
                                                     " of ", total, " are free"));
  }
  SLUICE_RETURN_IF_ERROR(
      CudaStatus(error, absl::StrCat("allocating ", bytes, " bytes for ", what)));
  return memory;
}

void CudaAllocator::Free(void* memory) { cudaFree(memory); }

absl::StatusOr<DeviceBuffer> DeviceBuffer::Create(DeviceAllocator* allocator, int64_t bytes,
                                                  absl::string_view what) {
  DeviceBuffer buffer;
  if (bytes == 0) return buffer;
  SLUICE_ASSIGN_OR_RETURN(void* const memory, allocator->Allocate(bytes, what));
  buffer.allocator_ = allocator;
  buffer.data_ = static_cast<std::byte*>(memory);
  buffer.bytes_ = bytes;
  return buffer;
}

DeviceBuffer::~DeviceBuffer() {
  if (data_ != nullptr) allocator_->Free(data_);
}

absl::StatusOr<PinnedBuffer> PinnedBuffer::Create(int64_t bytes, absl::string_view what) {
  PinnedBuffer buffer;
  if (bytes == 0) return buffer;
  void* memory = nullptr;
  const cudaError_t error = cudaMallocHost(&memory, static_cast<size_t>(bytes));
  if (error == cudaErrorMemoryAllocation) cudaGetLastError();  // forgotten, as above
  SLUICE_RETURN_IF_ERROR(
      CudaStatus(error, absl::StrCat("pinning ", bytes, " bytes of host memory for ", what)));
  buffer.data_ = static_cast<std::byte*>(memory);
  buffer.bytes_ = bytes;
  return buffer;
}

PinnedBuffer::~PinnedBuffer() {
  if (data_ != nullptr) cudaFreeHost(data_);
}

absl::StatusOr<PinnedRange> PinnedRange::Create(absl::Span<std::byte> host) {
  PinnedRange range;
  const cudaError_t error = cudaHostRegister(host.data(), host.size(), cudaHostRegisterDefault);
  if (error == cudaErrorMemoryAllocation) cudaGetLastError();  // forgotten, as above
  SLUICE_RETURN_IF_ERROR(
      CudaStatus(error, absl::StrCat("pinning ", host.size(), " bytes of host memory")));
  range.data_ = host.data();
  return range;
}

PinnedRange::~PinnedRange() {
  if (data_ != nullptr) cudaHostUnregister(data_);
}

}  // namespace sluice::cuda
