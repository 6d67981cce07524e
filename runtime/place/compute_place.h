// Where a model computes: the operations, and the memory that they work on.
#ifndef SLUICE_RUNTIME_PLACE_COMPUTE_PLACE_H_
#define SLUICE_RUNTIME_PLACE_COMPUTE_PLACE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/device.h"
#include "kernels/ops.h"

namespace sluice {

// For one thread.
class ComputePlace {
 public:
  // Host memory that a place on a device takes to copy through.
  static constexpr int64_t kStagingBytes = int64_t{2} << 20;

  virtual ~ComputePlace() = default;

  virtual Ops* ops() = 0;

  // Operations on host memory, for what the CPU computes beside a device; another thread than the
  // place's may call them. Null on the host, and where the CPU computes nothing.
  virtual Ops* host_ops() = 0;

  // The device whose memory this is; null where it is the host's, which ops() then read as it lies.
  virtual Device* device() = 0;
  // Where ops() queue their work; null on the host, where it is done when a call returns.
  virtual Stream* stream() = 0;

  // Memory for ops(), aligned to 256 bytes. ResourceExhausted.
  virtual absl::StatusOr<DeviceRange> Allocate(int64_t bytes) = 0;
  // Copies into such memory, after the operations before it and ahead of those after it; `from` may
  // be changed once it returns.
  virtual absl::Status Upload(std::byte* to, absl::Span<const std::byte> from) = 0;
  // Copies out of it once the operations before are done, and waits.
  virtual absl::Status Download(absl::Span<std::byte> to, const std::byte* from) = 0;
};

// `ops` must outlive the place.
std::unique_ptr<ComputePlace> MakeHostPlace(Ops* ops);

// A place on `device`, whose `ops` queue their work on `stream`; all must outlive the place.
// `host_ops`: the CPU's, or null. ResourceExhausted: memory to copy through cannot be pinned.
absl::StatusOr<std::unique_ptr<ComputePlace>> MakeDevicePlace(Device* device, Stream* stream,
                                                              Ops* ops, Ops* host_ops = nullptr);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PLACE_COMPUTE_PLACE_H_
