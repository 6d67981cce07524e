// Pieces in flight on one stream, timed by events on the device; the best of several rounds.
#include "kernels/cuda/device_rates.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/cpu/thread.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/memory.h"

namespace sluice {
namespace {

using cuda::CudaAllocator;
using cuda::CudaStatus;
using cuda::DeviceBuffer;
using cuda::Event;
using cuda::PinnedBuffer;
using cuda::Stream;

constexpr int64_t kPieceBytes = int64_t{8} << 20;
constexpr int kPieces = 8;
// Twice this is more than the caches of any device hold.
constexpr int64_t kHalfBytes = int64_t{128} << 20;

// Bytes a second of what `queue` puts into the stream, which moves `bytes`.
absl::StatusOr<double> BestRate(const Stream& stream, int64_t bytes, double seconds,
                                const std::function<absl::Status()>& queue) {
  SLUICE_ASSIGN_OR_RETURN(const Event begin, Event::Create(Event::Kind::kTime));
  SLUICE_ASSIGN_OR_RETURN(const Event end, Event::Create(Event::Kind::kTime));
  double best = 0;
  const auto start = std::chrono::steady_clock::now();
  while (best == 0 ||
         std::chrono::steady_clock::now() - start < std::chrono::duration<double>(seconds)) {
    SLUICE_RETURN_IF_ERROR(stream.Record(begin));
    SLUICE_RETURN_IF_ERROR(queue());
    SLUICE_RETURN_IF_ERROR(stream.Record(end));
    SLUICE_RETURN_IF_ERROR(end.Synchronize());
    SLUICE_ASSIGN_OR_RETURN(const double taken, end.SecondsSince(begin));
    if (taken > 0) best = std::max(best, static_cast<double>(bytes) / taken);
  }
  return best;
}

absl::StatusOr<double> MeasureCopies(const Stream& stream, double seconds) {
  CudaAllocator allocator;
  SLUICE_ASSIGN_OR_RETURN(const PinnedBuffer pinned,
                          PinnedBuffer::Create(kPieces * kPieceBytes, "timing copies"));
  SLUICE_ASSIGN_OR_RETURN(const DeviceBuffer device,
                          DeviceBuffer::Create(&allocator, kPieces * kPieceBytes, "timing copies"));
  return BestRate(stream, kPieces * kPieceBytes, seconds, [&]() -> absl::Status {
    for (int64_t at = 0; at < kPieces * kPieceBytes; at += kPieceBytes) {
      SLUICE_RETURN_IF_ERROR(
          stream.CopyToDevice(device.data() + at, pinned.data() + at, kPieceBytes));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<double> MeasureMemory(const Stream& stream, double seconds) {
  CudaAllocator allocator;
  SLUICE_ASSIGN_OR_RETURN(
      const DeviceBuffer device,
      DeviceBuffer::Create(&allocator, 2 * kHalfBytes, "timing the device's memory"));
  return BestRate(stream, 2 * kHalfBytes, seconds, [&] {
    return CudaStatus(cudaMemcpyAsync(device.data() + kHalfBytes, device.data(), kHalfBytes,
                                      cudaMemcpyDeviceToDevice, stream.get()),
                      "copying within the device");
  });
}

absl::StatusOr<std::vector<CudaDevice>> MeasureAll(double seconds) {
  SLUICE_ASSIGN_OR_RETURN(const int count, cuda::CountDevices());
  std::vector<CudaDevice> devices;
  for (int i = 0; i < count; ++i) {
    SLUICE_ASSIGN_OR_RETURN(const cuda::Device opened, cuda::Device::Open(i));
    SLUICE_ASSIGN_OR_RETURN(const cuda::Device::Memory memory, opened.memory());
    SLUICE_ASSIGN_OR_RETURN(const Stream stream, Stream::Create());
    CudaDevice& device = devices.emplace_back();
    device.name = opened.name();
    device.compute_major = opened.compute_capability() / 10;
    device.compute_minor = opened.compute_capability() % 10;
    device.memory_bytes = memory.total_bytes;
    SLUICE_ASSIGN_OR_RETURN(device.copy_bytes_per_s, MeasureCopies(stream, seconds));
    SLUICE_ASSIGN_OR_RETURN(device.memory_bytes_per_s, MeasureMemory(stream, seconds));
  }
  return devices;
}

}  // namespace

absl::StatusOr<std::vector<CudaDevice>> MeasureCudaDevices(double seconds) {
  // On a thread of its own: the caller's goes on with the device that it has.
  absl::StatusOr<std::vector<CudaDevice>> devices = absl::UnknownError("");
  absl::StatusOr<Thread> thread =
      Thread::Start("sluice-rates", [&] { devices = MeasureAll(seconds); });
  if (!thread.ok()) return ThreadShortage("for measuring the device", 1, 0, thread.status());
  thread->Join();
  return devices;
}

}  // namespace sluice
