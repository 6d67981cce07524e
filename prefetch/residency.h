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
  // The pass computes with this slab in less time than the disk takes to read it: for example the
  // head's slabs, when one row of a prompt wants logits. Such slabs are made resident first.
  bool brief = false;
};

// Fills the tiers in order, with brief slabs first; `capacities` are the tiers' bytes for places of
// resident slabs. Within a tier the resident slabs are spread evenly over the walk, so that the
// disk goes on reading while they compute. (A least-recently-used cache would never hit on a
// cycle.)
Residency PlaceSlabs(absl::Span<const SlabSize> slabs, absl::Span<const int64_t> capacities);

}  // namespace sluice

#endif  // SLUICE_PREFETCH_RESIDENCY_H_
