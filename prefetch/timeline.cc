// Copies the events out of their circle.
#include "prefetch/timeline.h"

#include <algorithm>

namespace sluice {

std::vector<TimelineEvent> Timeline::Events() const {
  std::vector<TimelineEvent> events;
  for (int64_t i = std::max<int64_t>(0, count_ - kEvents); i < count_; ++i) {
    events.push_back(events_[i % kEvents]);
  }
  return events;
}

}  // namespace sluice
