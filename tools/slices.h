// What a stage did with a slab from when to when, put together from a timeline's moves.
#ifndef SLUICE_TOOLS_SLICES_H_
#define SLUICE_TOOLS_SLICES_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "prefetch/timeline.h"
#include "storage/store/manifest.h"

namespace sluice {

// Tracks of a picture, in the order in which a slab passes through them.
enum class Stage : uint8_t { kDisk, kVerify, kUnpack, kCopy, kCompute, kCpu, kKvIn, kKvOut };
inline constexpr int kNumStages = 8;
// "disk", "verify", "decompress", "copy", "compute"; "CPU": slabs that it computes with beside a
// device; "KV in" and "KV out": pages of a KV cache in host memory.
absl::string_view StageName(Stage stage);

struct Slice {
  Stage stage;
  int lane = 0;  // of the stage: slices of one lane do not overlap
  int64_t pass;
  int slab;
  int num_slabs = 1;  // from that one on
  int64_t bytes = 0;  // of pages
  std::chrono::steady_clock::time_point begin;
  std::chrono::steady_clock::time_point end;
};

// Takes moves in order of time, those of the host and of a device each by themselves. The disk
// works on several slabs at once: a slab's slice begins where the slab that arrived before it ends,
// so that the slices of the disk are the time it was busy.
class SliceBuilder {
 public:
  // The slices that end with these moves, in that order. Moves that were lost leave slices out.
  std::vector<Slice> Add(absl::Span<const TimelineEvent> events);

 private:
  using Time = std::chrono::steady_clock::time_point;
  using Key = std::pair<int64_t, int>;  // pass and slab
  struct Moved {
    SlabState state;
    Time since;
  };
  int Lane(Stage stage, Time begin, Time end);
  void AddDevice(const TimelineEvent& event, std::vector<Slice>* slices);

  std::map<Key, Moved> moved_;             // slabs in flight
  std::map<Key, Time> begun_[kNumStages];  // since when, of moves that are not the host's
  std::vector<Time> lanes_[kNumStages];    // when each lane's last slice ended
  Time disk_end_;
};

// What a slab is, for people: "layer 3 q", "layer 3 gate+up", "head". Slabs that moved as one are
// the same.
std::string SlabName(const Manifest& manifest, int slab);

}  // namespace sluice

#endif  // SLUICE_TOOLS_SLICES_H_
