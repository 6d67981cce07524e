// The host's memory as it is, and a device's behind two pinned buffers that copies take in turn.
#include "runtime/place/compute_place.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/base/status_macros.h"
#include "prefetch/io/host_buffer.h"

namespace sluice {
namespace {

class HostPlace : public ComputePlace {
 public:
  explicit HostPlace(Ops* ops) : ops_(ops) {}

  Ops* ops() override { return ops_; }
  Ops* host_ops() override { return nullptr; }
  Device* device() override { return nullptr; }
  Stream* stream() override { return nullptr; }

  absl::StatusOr<DeviceRange> Allocate(int64_t bytes) override {
    SLUICE_ASSIGN_OR_RETURN(HostBuffer buffer, HostBuffer::Create(bytes));
    const absl::Span<std::byte> span = buffer.span();
    auto owned = std::make_shared<HostBuffer>(std::move(buffer));
    return DeviceRange(span, [owned] {});
  }
  absl::Status Upload(std::byte* to, absl::Span<const std::byte> from) override {
    std::copy(from.begin(), from.end(), to);
    return absl::OkStatus();
  }
  absl::Status Download(absl::Span<std::byte> to, const std::byte* from) override {
    std::copy(from, from + to.size(), to.begin());
    return absl::OkStatus();
  }

 private:
  Ops* const ops_;
};

class DevicePlace : public ComputePlace {
 public:
  DevicePlace(Device* device, Stream* stream, Ops* ops, Ops* host_ops)
      : device_(device), stream_(stream), ops_(ops), host_ops_(host_ops) {}
  ~DevicePlace() override { stream_->Finish().IgnoreError(); }  // copies may read the staging still

  absl::Status AllocateStaging() {
    for (Staging& staging : staging_) {
      SLUICE_ASSIGN_OR_RETURN(staging.memory, HostBuffer::Create(kHalfBytes));
      SLUICE_ASSIGN_OR_RETURN(staging.pinned, device_->Pin(staging.memory.span()));
      SLUICE_ASSIGN_OR_RETURN(staging.copied, device_->NewEvent());
    }
    return absl::OkStatus();
  }

  Ops* ops() override { return ops_; }
  Ops* host_ops() override { return host_ops_; }
  Device* device() override { return device_; }
  Stream* stream() override { return stream_; }

  absl::StatusOr<DeviceRange> Allocate(int64_t bytes) override {
    if (bytes == 0) return DeviceRange();
    return device_->Allocate(bytes);
  }

  absl::Status Upload(std::byte* to, absl::Span<const std::byte> from) override {
    while (!from.empty()) {
      Staging& staging = staging_[next_++ % 2];
      SLUICE_RETURN_IF_ERROR(staging.copied->Wait());
      const size_t bytes = std::min(from.size(), static_cast<size_t>(kHalfBytes));
      std::memcpy(staging.memory.data(), from.data(), bytes);
      SLUICE_RETURN_IF_ERROR(
          stream_->CopyToDevice(to, staging.memory.data(), static_cast<int64_t>(bytes)));
      SLUICE_RETURN_IF_ERROR(stream_->Record(staging.copied.get()));
      to += bytes;
      from.remove_prefix(bytes);
    }
    return absl::OkStatus();
  }

  absl::Status Download(absl::Span<std::byte> to, const std::byte* from) override {
    // One buffer is copied out of while the other one is being filled.
    absl::Span<std::byte> waiting;
    const std::byte* waiting_data = nullptr;
    Event* waiting_event = nullptr;
    const auto take = [&]() -> absl::Status {
      if (waiting.empty()) return absl::OkStatus();
      SLUICE_RETURN_IF_ERROR(waiting_event->Wait());
      std::memcpy(waiting.data(), waiting_data, waiting.size());
      return absl::OkStatus();
    };
    while (!to.empty()) {
      Staging& staging = staging_[next_++ % 2];
      SLUICE_RETURN_IF_ERROR(staging.copied->Wait());
      const size_t bytes = std::min(to.size(), static_cast<size_t>(kHalfBytes));
      SLUICE_RETURN_IF_ERROR(
          stream_->CopyToHost(staging.memory.data(), from, static_cast<int64_t>(bytes)));
      SLUICE_RETURN_IF_ERROR(stream_->Record(staging.copied.get()));
      SLUICE_RETURN_IF_ERROR(take());
      waiting = to.first(bytes);
      waiting_data = staging.memory.data();
      waiting_event = staging.copied.get();
      from += bytes;
      to.remove_prefix(bytes);
    }
    return take();
  }

 private:
  static constexpr int64_t kHalfBytes = kStagingBytes / 2;
  struct Staging {
    HostBuffer memory;
    DeviceRange pinned;
    std::unique_ptr<Event> copied;
  };

  Device* const device_;
  Stream* const stream_;
  Ops* const ops_;
  Ops* const host_ops_;
  Staging staging_[2];
  int64_t next_ = 0;
};

}  // namespace

std::unique_ptr<ComputePlace> MakeHostPlace(Ops* ops) { return std::make_unique<HostPlace>(ops); }

absl::StatusOr<std::unique_ptr<ComputePlace>> MakeDevicePlace(Device* device, Stream* stream,
                                                              Ops* ops, Ops* host_ops) {
  auto place = std::make_unique<DevicePlace>(device, stream, ops, host_ops);
  SLUICE_RETURN_IF_ERROR(place->AllocateStaging());
  return std::unique_ptr<ComputePlace>(std::move(place));
}

}  // namespace sluice
