// Where slabs that stay on a device lie in its memory.
#ifndef SLUICE_PREFETCH_KEPT_PLACES_H_
#define SLUICE_PREFETCH_KEPT_PLACES_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace sluice {

struct DeviceSlab;

struct KeptPlaces {
  std::vector<int64_t> offset;  // [num_slabs]
  std::vector<int> run_slabs;   // [num_slabs]: how many lie one behind the other from this one on
  int64_t bytes = 0;            // of all
};

// A slab that follows the one before it lies right behind that one, any other at a multiple of
// 4096.
KeptPlaces PlaceKept(absl::Span<const DeviceSlab> cycle);

}  // namespace sluice

#endif  // SLUICE_PREFETCH_KEPT_PLACES_H_
