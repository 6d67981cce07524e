// Computes sizes in memory and checks which slabs can be streamed.
#include "prefetch/stream_slab.h"

#include "absl/strings/str_cat.h"
#include "prefetch/io/host_buffer.h"

namespace sluice {

int64_t StreamSlab::leased_bytes() const {
  return compression == SlabCompression::kNone ? bytes : raw_bytes;
}

int64_t StreamSlab::place_bytes() const {
  return compression == SlabCompression::kNone ? RoundUp(bytes, kReadAlignment)
                                               : CompressedPlaceBytes(raw_bytes);
}

absl::Status CheckSlabs(const std::vector<std::string>& paths, absl::Span<const StreamSlab> cycle,
                        int64_t ring_bytes) {
  if (cycle.empty()) return absl::InvalidArgumentError("a stream of no slabs");
  const int num_files = static_cast<int>(paths.size());
  for (size_t i = 0; i < cycle.size(); ++i) {
    const StreamSlab& slab = cycle[i];
    if (slab.file < 0 || slab.file >= num_files) {
      return absl::InvalidArgumentError(
          absl::StrCat("slab ", i, " is in file ", slab.file, " of ", num_files));
    }
    const std::string& path = paths[slab.file];
    if (slab.offset < 0 || slab.offset % kReadAlignment != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": slab ", i, " is at byte ", slab.offset, ", not a multiple of ", kReadAlignment));
    }
    if (slab.bytes <= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": slab ", i, " has ", slab.bytes, " bytes"));
    }
    if (slab.compression != SlabCompression::kNone && slab.raw_bytes < slab.bytes) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": slab ", i, " is compressed from ",
                                                     slab.raw_bytes, " to ", slab.bytes, " bytes"));
    }
    if (slab.resident && slab.first_walk_only) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": slab ", i, " is to stay and to be kept elsewhere"));
    }
    if (!slab.resident && slab.place_bytes() > RoundUp(ring_bytes, kReadAlignment)) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": slab ", i, " of ", slab.place_bytes(),
                                                     " bytes does not fit a ring of ", ring_bytes));
    }
  }
  return absl::OkStatus();
}

}  // namespace sluice
