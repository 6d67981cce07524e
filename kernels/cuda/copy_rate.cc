// Two pieces in flight on one stream, timed by events on the device.
#include "kernels/cuda/copy_rate.h"

#include <cuda_runtime_api.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/memory.h"
#include "kernels/status_macros.h"

namespace sluice {
namespace {

using cuda::CudaAllocator;
using cuda::CudaStatus;
using cuda::DeviceBuffer;
using cuda::PinnedBuffer;
using cuda::Stream;

constexpr int64_t kPieceBytes = int64_t{8} << 20;
constexpr int kPieces = 8;

// Timed, unlike cuda::Event.
struct DestroyEvent {
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};
using TimedEvent = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, DestroyEvent>;

absl::StatusOr<TimedEvent> MakeTimedEvent() {
  cudaEvent_t event = nullptr;
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaEventCreate(&event), "making an event"));
  return TimedEvent(event);
}

absl::StatusOr<double> MeasureCopies(double seconds) {
  CudaAllocator allocator;
  SLUICE_ASSIGN_OR_RETURN(const PinnedBuffer pinned,
                          PinnedBuffer::Create(kPieces * kPieceBytes, "timing copies"));
  SLUICE_ASSIGN_OR_RETURN(const DeviceBuffer device,
                          DeviceBuffer::Create(&allocator, kPieces * kPieceBytes, "timing copies"));
  SLUICE_ASSIGN_OR_RETURN(const Stream stream, Stream::Create());
  SLUICE_ASSIGN_OR_RETURN(const TimedEvent begin, MakeTimedEvent());
  SLUICE_ASSIGN_OR_RETURN(const TimedEvent end, MakeTimedEvent());

  double best = 0;
  const auto start = std::chrono::steady_clock::now();
  while (best == 0 ||
         std::chrono::steady_clock::now() - start < std::chrono::duration<double>(seconds)) {
    SLUICE_RETURN_IF_ERROR(
        CudaStatus(cudaEventRecord(begin.get(), stream.get()), "recording an event"));
    for (int i = 0; i < kPieces; ++i) {
      const int64_t at = i * kPieceBytes;
      SLUICE_RETURN_IF_ERROR(
          stream.CopyToDevice(device.data() + at, pinned.data() + at, kPieceBytes));
    }
    SLUICE_RETURN_IF_ERROR(
        CudaStatus(cudaEventRecord(end.get(), stream.get()), "recording an event"));
    SLUICE_RETURN_IF_ERROR(CudaStatus(cudaEventSynchronize(end.get()), "waiting for copies"));
    float milliseconds = 0;
    SLUICE_RETURN_IF_ERROR(
        CudaStatus(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "timing copies"));
    if (milliseconds > 0) best = std::max(best, kPieces * kPieceBytes / (milliseconds / 1e3));
  }
  return best;
}

}  // namespace

absl::StatusOr<std::vector<CudaDevice>> MeasureCudaCopies(double seconds) {
  // Without the driver's control device there is no driver to ask.
  if (access("/dev/nvidiactl", F_OK) != 0) return std::vector<CudaDevice>();
  SLUICE_ASSIGN_OR_RETURN(const int count, cuda::CountDevices());
  std::vector<CudaDevice> devices;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    SLUICE_RETURN_IF_ERROR(
        CudaStatus(cudaGetDeviceProperties(&properties, i), "reading properties"));
    SLUICE_RETURN_IF_ERROR(CudaStatus(cudaSetDevice(i), absl::StrCat("selecting device ", i)));
    CudaDevice& device = devices.emplace_back();
    device.name = properties.name;
    device.compute_major = properties.major;
    device.compute_minor = properties.minor;
    device.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
    SLUICE_ASSIGN_OR_RETURN(device.copy_bytes_per_s, MeasureCopies(seconds));
  }
  return devices;
}

}  // namespace sluice
