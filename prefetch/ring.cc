// The room is one gap, from the newest slab's end to the oldest one's begin, around the end of the
// ring.
#include "prefetch/ring.h"

#include "absl/base/macros.h"
#include "prefetch/host_buffer.h"

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
      return to == SlabState::kLeased;
    case SlabState::kLeased:
      return to == SlabState::kFree;
    case SlabState::kFailed:
      return false;
  }
  return false;
}

}  // namespace

void MoveSlab(SlabState* slab, SlabState to) {
  ABSL_ASSERT(MayMove(*slab, to));
  *slab = to;
}

std::optional<int64_t> Ring::Allocate(int64_t bytes) {
  const int64_t size = RoundUp(bytes, kReadAlignment);
  int64_t begin = head_;
  int64_t unused = unused_;
  if (slots_.empty()) {
    if (size > capacity_) return std::nullopt;
    begin = 0;
  } else if (const int64_t tail = slots_.front().begin; head_ <= tail) {  // the gap is inside
    if (size > tail - head_) return std::nullopt;
  } else if (size > capacity_ - head_) {  // the gap goes around the end
    if (size > tail) return std::nullopt;
    begin = 0;
    unused = capacity_ - head_;
  }
  Slot& slot = slots_.emplace_back(Slot{.begin = begin, .bytes = size});
  MoveSlab(&slot.state, SlabState::kReading);
  head_ = begin + size;
  unused_ = unused;
  ABSL_ASSERT(Consistent());
  return begin;
}

void Ring::Move(int64_t ticket, SlabState to) {
  ABSL_ASSERT(ticket >= first_ticket_ && ticket < next_ticket());
  MoveSlab(&slots_[ticket - first_ticket_].state, to);
  while (!slots_.empty() && slots_.front().state == SlabState::kFree) {
    const int64_t freed = slots_.front().begin;  // the next one lower: around the end
    slots_.pop_front();
    ++first_ticket_;
    if (slots_.empty() || slots_.front().begin < freed) unused_ = 0;
  }
  if (slots_.empty()) head_ = 0;
  ABSL_ASSERT(Consistent());
}

bool Ring::Consistent() const {
  if (slots_.empty()) return head_ == 0 && unused_ == 0;
  const int64_t tail = slots_.front().begin;
  const int64_t room = head_ > tail ? capacity_ - head_ + tail : tail - head_;
  int64_t used = 0;
  int64_t expected = tail;
  for (const Slot& slot : slots_) {
    if (slot.begin != expected && slot.begin != 0) return false;
    expected = slot.begin + slot.bytes;
    used += slot.bytes;
  }
  return expected == head_ && head_ <= capacity_ && used + room + unused_ == capacity_;
}

}  // namespace sluice
