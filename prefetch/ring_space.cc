// The room is one gap, from the newest slab's end to the oldest one's begin, around the end of the
// ring.
#include "prefetch/ring_space.h"

#include "absl/base/macros.h"
#include "prefetch/io/host_buffer.h"

namespace sluice {

std::optional<int64_t> RingSpace::Allocate(int64_t bytes) {
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
  slots_.push_back({.begin = begin, .bytes = size});
  head_ = begin + size;
  unused_ = unused;
  ABSL_ASSERT(Consistent());
  return begin;
}

void RingSpace::Free(int64_t ticket) {
  ABSL_ASSERT(ticket >= first_ticket_ && ticket < next_ticket());
  slots_[ticket - first_ticket_].free = true;
  while (!slots_.empty() && slots_.front().free) {
    const int64_t freed = slots_.front().begin;  // the next one lower: around the end
    slots_.pop_front();
    ++first_ticket_;
    if (slots_.empty() || slots_.front().begin < freed) unused_ = 0;
  }
  if (slots_.empty()) head_ = 0;
  ABSL_ASSERT(Consistent());
}

bool RingSpace::Consistent() const {
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
