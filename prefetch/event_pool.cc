// Hands out idle events before it makes new ones.
#include "prefetch/event_pool.h"

#include <utility>

#include "kernels/base/status_macros.h"

namespace sluice {

absl::StatusOr<EventPool::Handle> EventPool::Take() {
  std::unique_ptr<Event> event;
  {
    const MutexLock lock(&mutex_);
    if (!idle_.empty()) {
      event = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (event == nullptr) {
    SLUICE_ASSIGN_OR_RETURN(event, device_->NewEvent());
  }
  return Handle(event.release(), [this](Event* returned) {
    const MutexLock lock(&mutex_);
    idle_.emplace_back(returned);
  });
}

}  // namespace sluice
