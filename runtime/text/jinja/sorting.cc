// std::stable_sort with a comparison that can fail: after an error all are equal.
#include "runtime/text/jinja/sorting.h"

#include <algorithm>

#include "runtime/text/jinja/operators.h"

namespace sluice::jinja {

absl::Status SortByKey(Runtime& runtime, std::vector<Keyed>* items, bool reverse) {
  absl::Status status;
  std::stable_sort(items->begin(), items->end(), [&](const Keyed& a, const Keyed& b) {
    if (!status.ok()) return false;
    const absl::StatusOr<bool> less =
        reverse ? Less(runtime, b.first, a.first) : Less(runtime, a.first, b.first);
    status = less.status();
    return less.value_or(false);
  });
  return status;
}

}  // namespace sluice::jinja
