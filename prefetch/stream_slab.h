// A slab in a file, as a stream reads it.
#ifndef SLUICE_PREFETCH_STREAM_SLAB_H_
#define SLUICE_PREFETCH_STREAM_SLAB_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "storage/store/slab_codec.h"

namespace sluice {

// Says where one slab of the cycle lies and how it is treated.
struct StreamSlab {
  int file = 0;           // index into the paths given to Create
  int64_t offset = 0;     // a multiple of 4096
  int64_t bytes = 0;      // stored bytes, at least 1; these are read and verified
  uint64_t checksum = 0;  // XXH3-64 over them
  bool resident = false;  // read once, on the first walk, into memory of its own
  // The slab is streamed on the first walk and left out of later ones, because the caller keeps a
  // copy. Not together with `resident`.
  bool first_walk_only = false;
  SlabCompression compression = SlabCompression::kNone;
  int64_t raw_bytes = 0;  // of a compressed slab, after decoding

  int64_t leased_bytes() const;  // the bytes that Next() hands out
  int64_t place_bytes() const;   // the bytes that the slab takes in memory, a multiple of 4096
};

// Finds mistakes of a manifest or of the caller's plan. InvalidArgument: names the slab.
absl::Status CheckSlabs(const std::vector<std::string>& paths, absl::Span<const StreamSlab> cycle,
                        int64_t ring_bytes);

}  // namespace sluice

#endif  // SLUICE_PREFETCH_STREAM_SLAB_H_
