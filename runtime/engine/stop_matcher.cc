// Keeps the longest end of the text that may begin a stop text.
#include "runtime/engine/stop_matcher.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace sluice {

std::string StopMatcher::Push(absl::string_view text) {
  if (stopped_) return "";
  absl::StrAppend(&held_, text);
  size_t found = std::string::npos;
  size_t stop_bytes = 0;
  for (const std::string& stop : stops_) {
    const size_t at = stop.empty() ? std::string::npos : held_.find(stop);
    if (at >= found) continue;
    found = at;
    stop_bytes = stop.size();
  }
  if (found != std::string::npos) {
    stopped_ = true;
    std::string shown = held_.substr(0, show_stop_ ? found + stop_bytes : found);
    held_.clear();
    return shown;
  }
  size_t keep = 0;  // the longest end of held_ that begins a stop text
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size(), held_.size()); n > keep; --n) {
      if (absl::EndsWith(held_, absl::string_view(stop).substr(0, n))) keep = n;
    }
  }
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, shown.size());
  return shown;
}

std::string StopMatcher::Flush() { return stopped_ ? "" : std::exchange(held_, ""); }

}  // namespace sluice
