// Copies the events out of their circle.
#include "prefetch/timeline.h"

#include <algorithm>

namespace sluice {

std::vector<TimelineEvent> Timeline::Take() {
  const int64_t first = std::max(taken_, count_ - kEvents);
  lost_ += first - taken_;
  taken_ = count_;
  std::vector<TimelineEvent> events;
  events.reserve(count_ - first);
  for (int64_t i = first; i < count_; ++i) events.push_back(events_[i % kEvents]);
  return events;
}

}  // namespace sluice
