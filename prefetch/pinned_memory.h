// Host memory that is pinned for copies to a device. It is pinned in pieces: a single call for tens
// of GB would hold the driver for seconds.
#ifndef SLUICE_PREFETCH_PINNED_MEMORY_H_
#define SLUICE_PREFETCH_PINNED_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/device.h"

namespace sluice {

inline constexpr int64_t kPinnedPieceBytes = int64_t{1} << 30;

// Pins `memory` for as long as the returned ranges live, one range a piece. A copy must lie in one
// piece, so pieces end only where a place ends: `places` are the sizes of what lies in `memory`, in
// order and without gaps, each a multiple of 4096. `pinned_bytes` may be null; otherwise it grows
// by the bytes that could be pinned, on success by all of `memory`. ResourceExhausted: the system
// pins no more; nothing stays pinned then.
absl::StatusOr<std::vector<DeviceRange>> PinMemory(Device* device, absl::Span<std::byte> memory,
                                                   absl::Span<const int64_t> places,
                                                   int64_t* pinned_bytes);

// Returns how many of `bytes` bytes of host memory can be pinned now, by pinning them for a moment.
absl::StatusOr<int64_t> PinnableBytes(Device* device, int64_t bytes);

}  // namespace sluice

#endif  // SLUICE_PREFETCH_PINNED_MEMORY_H_
