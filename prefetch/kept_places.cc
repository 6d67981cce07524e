// Places slabs in the order of the cycle.
#include "prefetch/kept_places.h"

#include <cstddef>

#include "prefetch/device_stream.h"
#include "prefetch/io/host_buffer.h"

namespace sluice {

KeptPlaces PlaceKept(absl::Span<const DeviceSlab> cycle) {
  KeptPlaces places;
  places.offset.resize(cycle.size());
  places.run_slabs.assign(cycle.size(), 1);
  const auto joins = [cycle](size_t i) {
    return i > 0 && cycle[i].follows && cycle[i].kept && cycle[i - 1].kept;
  };
  for (size_t i = 0; i < cycle.size(); ++i) {
    if (!joins(i)) places.bytes = RoundUp(places.bytes, kReadAlignment);
    places.offset[i] = places.bytes;
    if (cycle[i].kept) places.bytes += cycle[i].bytes;
  }
  places.bytes = RoundUp(places.bytes, kReadAlignment);
  for (size_t i = cycle.size(); i-- > 1;) {
    if (joins(i)) places.run_slabs[i - 1] += places.run_slabs[i];
  }
  return places;
}

}  // namespace sluice
