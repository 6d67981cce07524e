// Pins as much as the plan wants, and plans again where that is refused.
#include "runtime/open/pinned_plan.h"

#include "kernels/base/status_macros.h"
#include "prefetch/pinned_memory.h"

namespace sluice {

absl::StatusOr<std::optional<int64_t>> PinnedLimit(const Session& session, const MemoryPlan& plan) {
  const int64_t wanted = plan.pinned_bytes();
  SLUICE_ASSIGN_OR_RETURN(const int64_t pinned, PinnableBytes(session.gpu->device(), wanted));
  if (pinned == wanted) return std::nullopt;
  return pinned;
}

absl::StatusOr<MemoryPlan> AsPinned(const Session& session, MemoryPlan plan) {
  SLUICE_ASSIGN_OR_RETURN(const std::optional<int64_t> limit, PinnedLimit(session, plan));
  if (!limit.has_value()) return plan;
  PlanRequest request = plan.request;
  request.device->max_pinned_bytes = *limit;
  return PlanMemory(*session.store, request);
}

}  // namespace sluice
