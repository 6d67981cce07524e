// A plan under what the system pins of host memory.
#ifndef SLUICE_RUNTIME_OPEN_PINNED_PLAN_H_
#define SLUICE_RUNTIME_OPEN_PINNED_PLAN_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "runtime/open/session.h"
#include "runtime/pass/memory_plan.h"

namespace sluice {

// What the system pins of host memory, in bytes, where that is less than `plan` holds slabs, and
// keys and values, in; nothing where it is all. Pins it for a moment. The session has a device.
absl::StatusOr<std::optional<int64_t>> PinnedLimit(const Session& session, const MemoryPlan& plan);

// `plan`, or the plan that a model on the session's device ends up with where the system pins less
// host memory than that.
absl::StatusOr<MemoryPlan> AsPinned(const Session& session, MemoryPlan plan);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPEN_PINNED_PLAN_H_
