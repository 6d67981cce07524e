// Keeps a cursor in the loop, and a queue in front of it.
#include "prefetch/walk.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/base/macros.h"

namespace sluice {

Walk::Walk(std::vector<int> first, std::vector<int> later)
    : first_(std::move(first)), later_(std::move(later)) {}

Walk Walk::Loop(int num_slabs) {
  std::vector<int> slabs(num_slabs);
  std::iota(slabs.begin(), slabs.end(), 0);
  return Walk(slabs, slabs);
}

int64_t Walk::Append(int slab, int64_t pass, Urgency urgency) {
  appended_.push_back(
      {.id = ids_, .slab = slab, .pass = pass, .urgency = urgency, .appended = true});
  return ids_++;
}

bool Walk::Drop(int64_t id) {
  const auto visit = std::find_if(appended_.begin(), appended_.end(),
                                  [id](const Visit& other) { return other.id == id; });
  if (visit == appended_.end()) return false;
  appended_.erase(visit);
  return true;
}

std::optional<Visit> Walk::Next() const {
  if (!appended_.empty()) return appended_.front();
  if (next_ == Lap().size()) return std::nullopt;
  return Visit{.slab = Lap()[next_], .pass = pass_};
}

Visit Walk::Pop() {
  ABSL_ASSERT(Next().has_value());
  Visit visit = *Next();
  if (visit.appended) {
    appended_.pop_front();
    return visit;
  }
  visit.id = ids_++;
  if (++next_ == Lap().size() && !later_.empty()) {
    ++pass_;
    next_ = 0;
  }
  return visit;
}

}  // namespace sluice
