// A processor with memory of its own: its memory, its queues of work, and the marks that order
// them.
//
// A Stream does what it is given in order, and later than the call returns; streams run beside each
// other. An Event, recorded on one stream and waited for on another, is what orders two of them.
// The terms are CUDA's (CUDA C++ Programming Guide, "Asynchronous Concurrent Execution").
#ifndef SLUICE_KERNELS_DEVICE_H_
#define SLUICE_KERNELS_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace sluice {

// A mark in a stream's work. Any thread.
class Event {
 public:
  virtual ~Event() = default;
  // Blocks until all work before the latest Record is done; at once where there was none. An error
  // is that of the work.
  virtual absl::Status Wait() = 0;
  // Seconds from when `earlier`, an event of the same device, was reached to when this one was, by
  // the device's clock; negative where this one came first. Both were recorded, and have been
  // reached.
  virtual absl::StatusOr<double> SecondsSince(Event* earlier) = 0;
};

// For one thread at a time. Errors of work that was queued before may come from any later call.
class Stream {
 public:
  virtual ~Stream() = default;
  // Both return before the copy is done; `host` must be pinned (Device::Pin) and stay as it is
  // until then.
  virtual absl::Status CopyToDevice(std::byte* device, const std::byte* host, int64_t bytes) = 0;
  virtual absl::Status CopyToHost(std::byte* host, const std::byte* device, int64_t bytes) = 0;
  // Moves the mark of `event`, one of the same device, to here.
  virtual absl::Status Record(Event* event) = 0;
  // What is queued from here on waits for the latest Record of `event`, which may be moved again at
  // once.
  virtual absl::Status WaitFor(Event* event) = 0;
  // Blocks until all work is done.
  virtual absl::Status Finish() = 0;
};

// A range that its owner gives back by destroying this: device memory, or the pinning of host
// memory.
class DeviceRange {
 public:
  DeviceRange() = default;
  DeviceRange(absl::Span<std::byte> span, std::function<void()> release)
      : span_(span), release_(std::move(release)) {}
  DeviceRange(DeviceRange&& other) noexcept
      : span_(std::exchange(other.span_, {})), release_(std::exchange(other.release_, nullptr)) {}
  DeviceRange& operator=(DeviceRange&& other) noexcept {
    DeviceRange taken(std::move(other));
    std::swap(span_, taken.span_);
    std::swap(release_, taken.release_);
    return *this;
  }
  ~DeviceRange() {
    if (release_ != nullptr) release_();
  }

  std::byte* data() const { return span_.data(); }
  int64_t size() const { return static_cast<int64_t>(span_.size()); }
  absl::Span<std::byte> span() const { return span_; }

 private:
  absl::Span<std::byte> span_;
  std::function<void()> release_;
};

// Any thread. Outlives what it makes.
class Device {
 public:
  virtual ~Device() = default;
  // Memory of the device, aligned to 256 bytes at least; the host must not follow its address.
  // ResourceExhausted: how much was wanted, how much is free.
  virtual absl::StatusOr<DeviceRange> Allocate(int64_t bytes) = 0;
  // Locks `host` into memory, so that copies run beside the host. ResourceExhausted where the
  // system does not allow that many bytes.
  virtual absl::StatusOr<DeviceRange> Pin(absl::Span<std::byte> host) = 0;
  virtual absl::StatusOr<std::unique_ptr<Stream>> NewStream() = 0;
  virtual absl::StatusOr<std::unique_ptr<Event>> NewEvent() = 0;
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_DEVICE_H_
