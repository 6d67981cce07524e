// Two pieces in flight on one stream, timed by events on the device.
#include "kernels/cuda/copy_rate.h"

#include <cuda_runtime_api.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "kernels/status_macros.h"

namespace sluice {
namespace {

constexpr int64_t kPieceBytes = int64_t{8} << 20;
constexpr int kPieces = 8;

absl::Status CudaStatus(cudaError_t error, absl::string_view what) {
  if (error == cudaSuccess) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("CUDA: ", what, ": ", cudaGetErrorName(error), " (", cudaGetErrorString(error), ")"));
}

std::string Version(int version) { return absl::StrCat(version / 1000, ".", version % 1000 / 10); }

struct FreePinned {
  void operator()(void* memory) const { cudaFreeHost(memory); }
};
struct FreeDevice {
  void operator()(void* memory) const { cudaFree(memory); }
};
struct DestroyStream {
  void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
};
struct DestroyEvent {
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};
template <typename Handle, typename Destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy>;

absl::StatusOr<double> MeasureCopies(double seconds) {
  void* memory = nullptr;
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaMallocHost(&memory, kPieces * kPieceBytes), "pinning 64 MiB"));
  const std::unique_ptr<void, FreePinned> pinned(memory);
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaMalloc(&memory, kPieces * kPieceBytes), "allocating 64 MiB"));
  const std::unique_ptr<void, FreeDevice> device(memory);
  cudaStream_t new_stream;
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaStreamCreate(&new_stream), "making a stream"));
  const Owned<cudaStream_t, DestroyStream> stream(new_stream);
  cudaEvent_t events[2];
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaEventCreate(&events[0]), "making an event"));
  const Owned<cudaEvent_t, DestroyEvent> begin(events[0]);
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaEventCreate(&events[1]), "making an event"));
  const Owned<cudaEvent_t, DestroyEvent> end(events[1]);

  double best = 0;
  const auto start = std::chrono::steady_clock::now();
  while (best == 0 || std::chrono::steady_clock::now() - start < std::chrono::duration<double>(seconds)) {
    SLUICE_RETURN_IF_ERROR(CudaStatus(cudaEventRecord(begin.get(), stream.get()), "recording an event"));
    for (int i = 0; i < kPieces; ++i) {
      SLUICE_RETURN_IF_ERROR(CudaStatus(
          cudaMemcpyAsync(static_cast<char*>(device.get()) + i * kPieceBytes,
                          static_cast<const char*>(pinned.get()) + i * kPieceBytes, kPieceBytes,
                          cudaMemcpyHostToDevice, stream.get()),
          "copying to the device"));
    }
    SLUICE_RETURN_IF_ERROR(CudaStatus(cudaEventRecord(end.get(), stream.get()), "recording an event"));
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
  int driver = 0;
  SLUICE_RETURN_IF_ERROR(CudaStatus(cudaDriverGetVersion(&driver), "asking for the driver's version"));
  int count = 0;
  const cudaError_t counted = cudaGetDeviceCount(&count);
  if (counted == cudaErrorNoDevice) return std::vector<CudaDevice>();
  if (counted == cudaErrorInsufficientDriver) {
    return absl::UnavailableError(absl::StrCat("CUDA: driver too old, needs ", Version(CUDART_VERSION),
                                               "; it supports ", Version(driver)));
  }
  SLUICE_RETURN_IF_ERROR(CudaStatus(counted, "counting devices"));
  std::vector<CudaDevice> devices;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    SLUICE_RETURN_IF_ERROR(CudaStatus(cudaGetDeviceProperties(&properties, i), "reading properties"));
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
