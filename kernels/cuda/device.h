// A CUDA device, its streams and events, as types that free themselves.
#ifndef SLUICE_KERNELS_CUDA_DEVICE_H_
#define SLUICE_KERNELS_CUDA_DEVICE_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice::cuda {

// How many devices there are. 0 where there is a driver and no device, and where there is no
// driver. Unavailable: the driver is older than this program needs; both versions are named.
absl::StatusOr<int> CountDevices();

// "0000:01:00.0", without making a context there. NotFound: as Device::Open.
absl::StatusOr<std::string> PciBusId(int ordinal);

class Device {
 public:
  struct Memory {
    int64_t free_bytes;
    int64_t total_bytes;
  };

  // Makes device `ordinal` that of the calling thread. NotFound: there is no such device (how many
  // there are), or no driver. FailedPrecondition: it is older than kernels are built for (compute
  // capability 7.5).
  static absl::StatusOr<Device> Open(int ordinal);

  const std::string& name() const { return name_; }  // "NVIDIA H200"
  int ordinal() const { return ordinal_; }
  int compute_capability() const { return compute_capability_; }  // 90 is 9.0
  int multiprocessors() const { return multiprocessors_; }
  absl::StatusOr<Memory> memory() const;

 private:
  Device() = default;
  int ordinal_ = 0;
  std::string name_;
  int compute_capability_ = 0;
  int multiprocessors_ = 0;
};

// Marks a point of a stream that others wait for.
class Event {
 public:
  // One that is only waited for is cheaper than one that also has the time.
  enum class Kind : uint8_t { kOrder, kTime };
  static absl::StatusOr<Event> Create(Kind kind = Kind::kOrder);
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~Event();

  cudaEvent_t get() const { return event_; }
  // Blocks the host until the point that was recorded last is reached; at once if none was.
  absl::Status Synchronize() const;
  // Whether it is reached.
  absl::StatusOr<bool> Fired() const;
  // Seconds from `earlier` to this one; both of kind kTime, and reached.
  absl::StatusOr<double> SecondsSince(const Event& earlier) const;

 private:
  explicit Event(cudaEvent_t event) : event_(event) {}
  cudaEvent_t event_;
};

// A queue of copies and kernels that run in order. Streams know nothing of each other but through
// events.
class Stream {
 public:
  static absl::StatusOr<Stream> Create();
  Stream(Stream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }
  ~Stream();

  cudaStream_t get() const { return stream_; }
  absl::Status Record(const Event& event) const;
  // What is queued from here on runs after the point that `event` marks now.
  absl::Status Wait(const Event& event) const;
  // Blocks the host until all that is queued has run. The first error of any of it comes back here.
  absl::Status Synchronize() const;

  // Queue copies of `bytes` bytes; the host's memory is pinned, and neither side may be touched or
  // freed before the copy has run.
  absl::Status CopyToDevice(void* device, const void* pinned, int64_t bytes) const;
  absl::Status CopyToHost(void* pinned, const void* device, int64_t bytes) const;

 private:
  explicit Stream(cudaStream_t stream) : stream_(stream) {}
  cudaStream_t stream_;
};

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_DEVICE_H_
