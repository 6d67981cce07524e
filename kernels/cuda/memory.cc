// Allocates from the driver and says what it was for when that fails.
#include "kernels/cuda/memory.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/status_macros.h"

namespace sluice::cuda {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 30;

}  // namespace

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
  for (size_t done = 0; done < host.size();) {
    const size_t bytes = std::min(kPieceBytes, host.size() - done);
    const cudaError_t error = cudaHostRegister(host.data() + done, bytes, cudaHostRegisterDefault);
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();  // forgotten, as above
      return absl::ResourceExhaustedError(absl::StrCat("CUDA: pinning ", host.size(),
                                                       " bytes of host memory: the system pins ", done,
                                                       " of them and no more"));
    }
    SLUICE_RETURN_IF_ERROR(CudaStatus(error, absl::StrCat("pinning ", bytes, " bytes of host memory")));
    range.pieces_.push_back(host.data() + done);
    done += bytes;
  }
  return range;
}

PinnedRange::~PinnedRange() {
  for (std::byte* const piece : pieces_) cudaHostUnregister(piece);
}

}  // namespace sluice::cuda
