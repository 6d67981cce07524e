// Places slabs into tiers, evenly over the walk.
#include "prefetch/residency.h"

#include <algorithm>

namespace sluice {
namespace {

// Places slabs that are on disk and brief, or not, as asked, into one tier.
void FillTier(absl::Span<const SlabSize> slabs, bool brief, int tier, int64_t capacity,
              Residency* result) {
  int64_t& used = result->tier_bytes[tier];
  const auto waits = [&](size_t i) {
    return result->tier[i] == kOnDisk && slabs[i].brief == brief;
  };
  double left = 0;  // bytes not placed yet
  for (size_t i = 0; i < slabs.size(); ++i) {
    if (waits(i)) left += static_cast<double>(slabs[i].place_bytes);
  }
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

Residency PlaceSlabs(absl::Span<const SlabSize> slabs, absl::Span<const int64_t> capacities) {
  Residency result;
  result.tier.assign(slabs.size(), kOnDisk);
  result.tier_bytes.assign(capacities.size(), 0);
  for (size_t t = 0; t < capacities.size(); ++t) {
    for (const bool brief : {true, false}) {
      FillTier(slabs, brief, static_cast<int>(t), capacities[t], &result);
    }
  }
  for (size_t i = 0; i < slabs.size(); ++i) {
    if (result.tier[i] == kOnDisk) result.streamed_bytes += slabs[i].stored_bytes;
  }
  return result;
}

}  // namespace sluice
