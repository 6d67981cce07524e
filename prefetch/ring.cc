// Checks the moves of slabs.
#include "prefetch/ring.h"

#include "absl/base/macros.h"

namespace sluice {
namespace {

bool MayMove(SlabState from, SlabState to) {
  switch (from) {
    case SlabState::kFree:
      return to == SlabState::kReading;
    case SlabState::kReading:
      return to == SlabState::kRead || to == SlabState::kFailed;
    case SlabState::kRead:
      return to == SlabState::kVerifying || to == SlabState::kUnpacking || to == SlabState::kReady;
    case SlabState::kVerifying:
      return to == SlabState::kUnpacking || to == SlabState::kReady || to == SlabState::kFailed;
    case SlabState::kUnpacking:
      return to == SlabState::kReady || to == SlabState::kFailed;
    case SlabState::kReady:
      return to == SlabState::kLeased || to == SlabState::kFree;
    case SlabState::kLeased:
      return to == SlabState::kFree;
    case SlabState::kFailed:
      return to == SlabState::kFree;
  }
  return false;
}

}  // namespace

void MoveSlab(SlabState* slab, SlabState to) {
  ABSL_ASSERT(MayMove(*slab, to));
  *slab = to;
}

std::optional<int64_t> Ring::Allocate(int64_t bytes) {
  const int64_t ticket = next_ticket();
  const std::optional<int64_t> begin = space_.Allocate(bytes);
  if (begin.has_value()) {
    MoveSlab(&states_.try_emplace(ticket, SlabState::kFree).first->second, SlabState::kReading);
  }
  return begin;
}

void Ring::Move(int64_t ticket, SlabState to) {
  const auto state = states_.find(ticket);
  ABSL_ASSERT(state != states_.end() && "the ring has no such ticket");
  MoveSlab(&state->second, to);
  if (to != SlabState::kFree) return;
  space_.Free(ticket);
  states_.erase(state);
}

}  // namespace sluice
