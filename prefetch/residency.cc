// Places slabs into tiers, evenly over the walk.
#include "prefetch/residency.h"

#include <algorithm>

namespace sluice {

Residency PlaceSlabs(absl::Span<const SlabSize> slabs, absl::Span<const MemoryTier> tiers) {
  Residency result;
  result.tier.assign(slabs.size(), kOnDisk);
  result.tier_bytes.assign(tiers.size(), 0);
  for (size_t t = 0; t < tiers.size(); ++t) {
    const int64_t capacity = tiers[t].capacity_bytes;
    double left = 0;  // bytes not placed yet
    for (size_t i = 0; i < slabs.size(); ++i) {
      if (result.tier[i] == kOnDisk) left += static_cast<double>(slabs[i].place_bytes);
    }
    if (left == 0 || capacity <= 0) continue;
    // Walk with a credit that grows by the share that fits, and place whenever it covers a slab.
    const double share = std::min(1.0, static_cast<double>(capacity) / left);
    double credit = 0;
    int64_t& used = result.tier_bytes[t];
    const auto place = [&](size_t i) {
      const int64_t bytes = slabs[i].place_bytes;
      if (used + bytes > capacity) return false;
      used += bytes;
      result.tier[i] = static_cast<int>(t);
      return true;
    };
    for (size_t i = 0; i < slabs.size(); ++i) {
      if (result.tier[i] != kOnDisk) continue;
      const double bytes = static_cast<double>(slabs[i].place_bytes);
      credit += bytes * share;
      if (credit + 0.5 >= bytes && place(i)) credit -= bytes;
    }
    // What is left of the capacity by rounding: whatever still fits.
    for (size_t i = 0; i < slabs.size(); ++i) {
      if (result.tier[i] == kOnDisk) place(i);
    }
  }
  for (size_t i = 0; i < slabs.size(); ++i) {
    if (result.tier[i] == kOnDisk) result.streamed_bytes += slabs[i].stored_bytes;
  }
  return result;
}

}  // namespace sluice
