// Draws one pass as a picture: which stage worked on which slab when.
#ifndef SLUICE_TOOLS_GANTT_H_
#define SLUICE_TOOLS_GANTT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "prefetch/timeline.h"
#include "storage/manifest.h"

namespace sluice {

// An SVG of the pass number `pass` (from 0) of a walk whose moves are `events`, in order of time and
// of at least that pass. A row a stage, a bar a slab, or for slabs that a device computed with as one; what a stage did
// for the pass before or after is there too, paler. `resident`: of each slab. Empty where the pass is not in the events.
std::string DrawPass(const Manifest& manifest, absl::Span<const TimelineEvent> events,
                     const std::vector<bool>& resident, int64_t pass, const std::string& title);

}  // namespace sluice

#endif  // SLUICE_TOOLS_GANTT_H_
