// What a stage did with a slab from when to when, put together from a timeline's moves.
#ifndef SLUICE_TOOLS_SLICES_H_
#define SLUICE_TOOLS_SLICES_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "prefetch/timeline.h"
#include "storage/manifest.h"

namespace sluice {

// Tracks of a picture, in the order in which a slab passes through them.
enum class Stage : uint8_t { kDisk, kVerify, kUnpack, kCompute };
inline constexpr int kNumStages = 4;
absl::string_view StageName(Stage stage);  // "disk", "verify", "decompress", "compute"

struct Slice {
  Stage stage;
  int lane = 0;      // of the stage: slices of one lane do not overlap
  int64_t position;  // of the walk: pass * slabs of the cycle + slab
  std::chrono::steady_clock::time_point begin;
  std::chrono::steady_clock::time_point end;
};

// Takes moves in order of time. The disk works on several slabs at once: a slab's slice begins where
// the slab that arrived before it ends, so that the slices of the disk are the time it was busy.
class SliceBuilder {
 public:
  // The slices that end with these moves, in that order. Moves that were lost leave slices out.
  std::vector<Slice> Add(absl::Span<const TimelineEvent> events);

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Visit {
    SlabState state;
    Time since;
  };
  int Lane(Stage stage, Time begin, Time end);

  absl::flat_hash_map<int64_t, Visit> visits_;  // by position: slabs on their way
  std::vector<Time> lanes_[kNumStages];         // when each lane's last slice ended
  Time disk_end_;
};

// What a slab is, for people: "layer 3 q", "layer 3 gate+up", "head".
std::string SlabName(const Manifest& manifest, int slab);

}  // namespace sluice

#endif  // SLUICE_TOOLS_SLICES_H_
