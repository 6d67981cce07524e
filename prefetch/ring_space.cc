// Looks for room in the gaps between slots, from the head on.
#include "prefetch/ring_space.h"

#include "absl/base/macros.h"
#include "prefetch/io/host_buffer.h"

namespace sluice {

std::optional<int64_t> RingSpace::Allocate(int64_t bytes) {
  const int64_t size = RoundUp(bytes, kReadAlignment);
  int64_t begin = slots_.empty() ? 0 : head_;
  for (bool wrapped = false;;) {
    const auto next = slots_.lower_bound(begin);
    const int64_t end = next != slots_.end() ? next->first : capacity_;
    if (end - begin >= size) break;
    if (next == slots_.end()) {
      if (wrapped || slots_.empty()) return std::nullopt;
      wrapped = true;
      begin = 0;
    } else {
      if (next->second.ticket > newest_freed_) return std::nullopt;  // its turn has not passed yet
      begin = next->second.end;
      if (wrapped && begin >= head_) return std::nullopt;
    }
  }
  slots_.emplace(begin, Slot{begin + size, next_ticket_});
  begins_.emplace(next_ticket_++, begin);
  head_ = begin + size;
  ABSL_ASSERT(Consistent());
  return begin;
}

void RingSpace::Free(int64_t ticket) {
  const auto begin = begins_.find(ticket);
  ABSL_ASSERT(begin != begins_.end());
  slots_.erase(begin->second);
  begins_.erase(begin);
  if (ticket > newest_freed_) newest_freed_ = ticket;
  ABSL_ASSERT(Consistent());
}

bool RingSpace::Consistent() const {
  int64_t end = 0;
  for (const auto& [begin, slot] : slots_) {
    if (begin < end || slot.end <= begin || begins_.at(slot.ticket) != begin) return false;
    end = slot.end;
  }
  return end <= capacity_ && slots_.size() == begins_.size();
}

}  // namespace sluice
