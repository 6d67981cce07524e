// Each state of a slab but for waiting is a slice of the stage that is at work then.
#include "tools/slices.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// The stage at work on a slab in this state.
std::optional<Stage> StageOf(SlabState state) {
  switch (state) {
    case SlabState::kReading:
      return Stage::kDisk;
    case SlabState::kVerifying:
      return Stage::kVerify;
    case SlabState::kUnpacking:
      return Stage::kUnpack;
    case SlabState::kLeased:
      return Stage::kCompute;
    default:
      return std::nullopt;
  }
}

// The stage of a move that is not the host's.
Stage DeviceStageOf(const TimelineEvent& event) {
  switch (event.hop) {
    case Hop::kCpu:
      return Stage::kCpu;
    case Hop::kKvIn:
      return Stage::kKvIn;
    case Hop::kKvOut:
      return Stage::kKvOut;
    default:
      return event.to == SlabState::kReading || event.to == SlabState::kReady ? Stage::kCopy
                                                                              : Stage::kCompute;
  }
}

}  // namespace

absl::string_view StageName(Stage stage) {
  static constexpr absl::string_view kNames[] = {"disk",    "verify", "decompress", "copy",
                                                 "compute", "CPU",    "KV in",      "KV out"};
  return kNames[static_cast<int>(stage)];
}

std::vector<Slice> SliceBuilder::Add(absl::Span<const TimelineEvent> events) {
  std::vector<Slice> slices;
  for (const TimelineEvent& event : events) {
    if (event.hop != Hop::kHost) {
      AddDevice(event, &slices);
      continue;
    }
    const Key key = {event.pass, event.slab};
    const auto moved = moved_.find(key);
    if (moved != moved_.end()) {
      if (const std::optional<Stage> stage = StageOf(moved->second.state); stage.has_value()) {
        Time begin = moved->second.since;
        if (stage == Stage::kDisk) {
          begin = std::max(begin, disk_end_);
          disk_end_ = event.time;
        }
        slices.push_back({.stage = *stage,
                          .lane = Lane(*stage, begin, event.time),
                          .pass = event.pass,
                          .slab = event.slab,
                          .begin = begin,
                          .end = event.time});
      }
    }
    if (event.to == SlabState::kFree || event.to == SlabState::kFailed) {
      moved_.erase(key);
    } else {
      moved_[key] = {event.to, event.time};
    }
  }
  return slices;
}

// Copies, kernels and others are stamped by threads of their own: which of a slab's comes first
// here says nothing.
void SliceBuilder::AddDevice(const TimelineEvent& event, std::vector<Slice>* slices) {
  const Stage stage = DeviceStageOf(event);
  const Key key = {event.pass, event.slab};
  std::map<Key, Time>& begun = begun_[static_cast<int>(stage)];
  if (event.to == SlabState::kReading || event.to == SlabState::kLeased) {
    begun[key] = event.time;
    return;
  }
  const auto found = begun.find(key);
  if (found == begun.end()) return;
  slices->push_back({.stage = stage,
                     .lane = Lane(stage, found->second, event.time),
                     .pass = event.pass,
                     .slab = event.slab,
                     .num_slabs = event.num_slabs,
                     .bytes = event.bytes,
                     .begin = found->second,
                     .end = event.time});
  begun.erase(found);
}

int SliceBuilder::Lane(Stage stage, Time begin, Time end) {
  std::vector<Time>& lanes = lanes_[static_cast<int>(stage)];
  const auto free = std::find_if(lanes.begin(), lanes.end(), [&](Time t) { return t <= begin; });
  const auto lane = free != lanes.end() ? free : lanes.insert(lanes.end(), end);
  *lane = end;
  return static_cast<int>(lane - lanes.begin());
}

std::string SlabName(const Manifest& manifest, int slab) {
  std::string name;
  for (const int index : manifest.slabs[slab].tensors) {
    const ManifestTensor& tensor = manifest.tensors[index];
    if (!name.empty()) {
      absl::StrAppend(&name, "+", RoleName(tensor.role));
    } else if (tensor.layer < 0) {
      absl::StrAppend(&name, RoleName(tensor.role));
    } else {
      absl::StrAppend(&name, "layer ", tensor.layer, " ", RoleName(tensor.role));
    }
  }
  return name;
}

}  // namespace sluice
