// Places slabs into tiers, evenly over the walk.
#include "prefetch/residency.h"

#include <algorithm>

namespace sluice {
namespace {

// Bytes of the places of slabs that are on disk and as brief as asked.
int64_t BytesOnDisk(absl::Span<const SlabSize> slabs, bool brief, const Residency& residency) {
  int64_t bytes = 0;
  for (size_t i = 0; i < slabs.size(); ++i) {
    if (residency.tier[i] == kOnDisk && slabs[i].brief == brief) bytes += slabs[i].place_bytes;
  }
  return bytes;
}

// Places those slabs that are on disk and as brief as asked into one tier.
void FillTier(absl::Span<const SlabSize> slabs, bool brief, int tier, int64_t capacity,
              Residency* result) {
  int64_t& used = result->tier_bytes[tier];
  const auto waits = [&](size_t i) {
    return result->tier[i] == kOnDisk && slabs[i].brief == brief;
  };
  const auto left = static_cast<double>(BytesOnDisk(slabs, brief, *result));
  if (left == 0 || capacity <= used) return;
  const auto place = [&](size_t i) {
    if (used + slabs[i].place_bytes > capacity) return false;
    used += slabs[i].place_bytes;
    result->tier[i] = tier;
    return true;
  };
  // Walk with a credit that grows by the share that fits, and place whenever it covers a slab.
  const double share = std::min(1.0, static_cast<double>(capacity - used) / left);
  double credit = 0;
  for (size_t i = 0; i < slabs.size(); ++i) {
    if (!waits(i)) continue;
    const auto bytes = static_cast<double>(slabs[i].place_bytes);
    credit += bytes * share;
    if (credit + 0.5 >= bytes && place(i)) credit -= bytes;
  }
  // The capacity that rounding has left takes whatever still fits.
  for (size_t i = 0; i < slabs.size(); ++i) {
    if (waits(i)) place(i);
  }
}

}  // namespace

Residency PlaceSlabs(absl::Span<const SlabSize> slabs, absl::Span<const int64_t> capacities,
                     double brief_streamed) {
  Residency result;
  result.tier.assign(slabs.size(), kOnDisk);
  result.tier_bytes.assign(capacities.size(), 0);
  const auto streamed_briefs =
      static_cast<int64_t>(brief_streamed * static_cast<double>(BytesOnDisk(slabs, true, result)));
  for (size_t t = 0; t < capacities.size(); ++t) {
    const int tier = static_cast<int>(t);
    const int64_t briefs = BytesOnDisk(slabs, true, result);
    const int64_t others = BytesOnDisk(slabs, false, result);
    if (briefs > 0) {
      const double fits =
          std::min(1.0, static_cast<double>(capacities[t]) / static_cast<double>(briefs + others));
      const auto even = static_cast<int64_t>(fits * static_cast<double>(briefs));
      const int64_t first = std::max(briefs - streamed_briefs, even);
      FillTier(slabs, true, tier, std::min(capacities[t], first), &result);
    }
    FillTier(slabs, false, tier, capacities[t], &result);
    FillTier(slabs, true, tier, capacities[t], &result);
  }
  for (size_t i = 0; i < slabs.size(); ++i) {
    if (result.tier[i] == kOnDisk) result.streamed_bytes += slabs[i].stored_bytes;
  }
  return result;
}

}  // namespace sluice
