// Places the slabs that are kept on a device in its memory.
#ifndef SLUICE_PREFETCH_KEPT_PLACES_H_
#define SLUICE_PREFETCH_KEPT_PLACES_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

struct DeviceSlab;

struct KeptPlaces {
  std::vector<int64_t> offset;  // [num_slabs]
  // [num_slabs]: how many slabs lie one behind the other, beginning with this one
  std::vector<int> run_slabs;
  int64_t bytes = 0;  // of all
};

// Places a slab with `follows` right behind the one before it, and any other slab at a multiple of
// 4096.
KeptPlaces PlaceKept(absl::Span<const DeviceSlab> cycle);

}  // namespace sluice

#endif  // SLUICE_PREFETCH_KEPT_PLACES_H_
