// Pins memory in pieces that end where a place ends. If one cannot be pinned, smaller and smaller
// pieces find out how many bytes can.
#include "prefetch/pinned_memory.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "prefetch/io/host_buffer.h"

namespace sluice {
namespace {

// Adds what can still be pinned from the beginning of `memory` to `pinned_bytes`.
absl::Status CountPinnable(Device* device, absl::Span<std::byte> memory, int64_t* pinned_bytes) {
  std::vector<DeviceRange> held;
  int64_t piece = RoundUp(static_cast<int64_t>(memory.size()) / 2, kReadAlignment);
  for (; piece >= kReadAlignment && !memory.empty();
       piece = piece / 2 / kReadAlignment * kReadAlignment) {
    if (piece > static_cast<int64_t>(memory.size())) continue;
    absl::StatusOr<DeviceRange> range = device->Pin(memory.first(static_cast<size_t>(piece)));
    if (absl::IsResourceExhausted(range.status())) continue;
    SLUICE_RETURN_IF_ERROR(range.status());
    held.push_back(*std::move(range));
    memory.remove_prefix(static_cast<size_t>(piece));
    *pinned_bytes += piece;
  }
  return absl::OkStatus();
}

// Returns the sizes of the pieces of `total` bytes.
std::vector<int64_t> CutPieces(int64_t total, absl::Span<const int64_t> places) {
  std::vector<int64_t> pieces = {0};
  for (const int64_t place : places) {
    if (pieces.back() > 0 && pieces.back() + place > kPinnedPieceBytes) pieces.push_back(0);
    pieces.back() += place;
    total -= place;
  }
  pieces.back() += total;  // the bytes that rounding added
  return pieces;
}

}  // namespace

absl::StatusOr<std::vector<DeviceRange>> PinMemory(Device* device, absl::Span<std::byte> memory,
                                                   absl::Span<const int64_t> places,
                                                   int64_t* pinned_bytes) {
  int64_t ignored = 0;
  int64_t& pinned = pinned_bytes != nullptr ? *pinned_bytes : ignored;
  std::vector<DeviceRange> ranges;
  if (memory.empty()) return ranges;
  const auto total = static_cast<int64_t>(memory.size());
  for (const int64_t piece : CutPieces(total, places)) {
    absl::StatusOr<DeviceRange> range = device->Pin(memory.first(static_cast<size_t>(piece)));
    if (absl::IsResourceExhausted(range.status())) {
      const int64_t before = pinned;
      SLUICE_RETURN_IF_ERROR(
          CountPinnable(device, memory.first(static_cast<size_t>(piece)), &pinned));
      return absl::ResourceExhaustedError(absl::StrCat(
          "the system pins only ", total - static_cast<int64_t>(memory.size()) + pinned - before,
          " of ", total,
          " bytes of host memory for copies to the device: ", range.status().message()));
    }
    SLUICE_RETURN_IF_ERROR(range.status());
    ranges.push_back(*std::move(range));
    memory.remove_prefix(static_cast<size_t>(piece));
    pinned += piece;
  }
  return ranges;
}

absl::StatusOr<int64_t> PinnableBytes(Device* device, int64_t bytes) {
  SLUICE_ASSIGN_OR_RETURN(const HostBuffer buffer, HostBuffer::Create(bytes));
  std::vector<int64_t> pieces;
  for (int64_t left = buffer.size(); left > 0; left -= kPinnedPieceBytes) {
    pieces.push_back(std::min(left, kPinnedPieceBytes));
  }
  int64_t pinned = 0;
  const absl::Status status = PinMemory(device, buffer.span(), pieces, &pinned).status();
  if (!status.ok() && !absl::IsResourceExhausted(status)) return status;
  return std::min(pinned, bytes);
}

}  // namespace sluice
