// Draws one pass as a picture: which stage worked on which slab when.
#ifndef SLUICE_TOOLS_GANTT_H_
#define SLUICE_TOOLS_GANTT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "prefetch/timeline.h"

namespace sluice {

// An SVG of the pass number `pass` (from 0) of a walk. `events` are the moves of the walk, in order
// of time, at least of that pass. Each stage is a row, and each slab is a bar; slabs that a device
// computed with as one are one bar. Work for the pass before or after is drawn paler. `resident`:
// for each slab. Returns "" if the pass is not in the events.
std::string DrawPass(absl::Span<const TimelineEvent> events, const std::vector<bool>& resident,
                     int64_t pass, const std::string& title);

}  // namespace sluice

#endif  // SLUICE_TOOLS_GANTT_H_
