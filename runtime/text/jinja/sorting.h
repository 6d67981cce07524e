// Python's stable sort, with keys.
#ifndef SLUICE_RUNTIME_TEXT_JINJA_SORTING_H_
#define SLUICE_RUNTIME_TEXT_JINJA_SORTING_H_

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace sluice::jinja {

// A key and the value that is sorted by it.
using Keyed = std::pair<Value, Value>;

// Sorts; an error if two keys have no order. `reverse` keeps equal keys in their order, too.
absl::Status SortByKey(Runtime& runtime, std::vector<Keyed>* items, bool reverse);

}  // namespace sluice::jinja

#endif  // SLUICE_RUNTIME_TEXT_JINJA_SORTING_H_
