// Host memory pinned for copies to a device, in pieces: one call for tens of GB would hold the
// driver for seconds.
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

// Pins `memory` for as long as the ranges live, a range a piece. `places`: sizes of what lies in
// it, in order and without gaps, each a multiple of 4096; a copy must lie in one piece, so none of
// them is cut. Where `pinned_bytes` is not null, it grows by what could be pinned, on success all
// of `memory`. ResourceExhausted: the system pins no more; nothing stays pinned then.
absl::StatusOr<std::vector<DeviceRange>> PinMemory(Device* device, absl::Span<std::byte> memory,
                                                   absl::Span<const int64_t> places,
                                                   int64_t* pinned_bytes);

// How many of `bytes` bytes of host memory can be pinned now: takes them for a moment.
absl::StatusOr<int64_t> PinnableBytes(Device* device, int64_t bytes);

}  // namespace sluice

#endif  // SLUICE_PREFETCH_PINNED_MEMORY_H_
