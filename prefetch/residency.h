// Decides which slabs are resident in which memory: a pure function of sizes and capacities.
#ifndef SLUICE_PREFETCH_RESIDENCY_H_
#define SLUICE_PREFETCH_RESIDENCY_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

// A tier is a memory where slabs can be resident. Tiers stand in a list: the first belongs to the
// processor that computes, the last is the host's, where slabs from disk arrive.
inline constexpr int kOnDisk = -1;  // behind the last tier

struct Residency {
  std::vector<int> tier;            // [num_slabs]: index into the tiers, or kOnDisk: streamed
  std::vector<int64_t> tier_bytes;  // [num_tiers]: capacity used
  int64_t streamed_bytes = 0;       // stored bytes read from disk each walk
  int host_tier() const { return static_cast<int>(tier_bytes.size()) - 1; }  // the last
};

struct SlabSize {
  int64_t stored_bytes;  // read from disk
  int64_t place_bytes;   // taken in memory
  // A pass computes with this slab for a shorter time than the disk needs to read it, as with the
  // head's slabs where few rows want logits. So such slabs stay first.
  bool brief = false;
};

// Fills the tiers, of so many bytes for the places of resident slabs, in order, with brief slabs
// first. Within a tier the slabs that stay are spread evenly over the walk, so that the disk reads
// on while resident slabs compute: a least-recently-used cache would never hit on a cycle.
// `brief_streamed` is the part of the brief slabs that the disk reads while the pass computes with
// all of them. That part is streamed, too, unless a larger part of the other slabs can stay then.
Residency PlaceSlabs(absl::Span<const SlabSize> slabs, absl::Span<const int64_t> capacities,
                     double brief_streamed = 0);

}  // namespace sluice

#endif  // SLUICE_PREFETCH_RESIDENCY_H_
