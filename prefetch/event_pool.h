// A pool of events that are used again and again, because making one is a call into the driver.
#ifndef SLUICE_PREFETCH_EVENT_POOL_H_
#define SLUICE_PREFETCH_EVENT_POOL_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/base/mutex.h"
#include "kernels/device.h"

namespace sluice {

// Thread-safe. The pool outlives the events that it gave out.
class EventPool {
 public:
  // The event goes back to the pool when its last holder lets go of it.
  using Handle = std::shared_ptr<Event>;

  explicit EventPool(Device* device) : device_(device) {}

  absl::StatusOr<Handle> Take();

 private:
  Device* const device_;
  Mutex mutex_;
  std::vector<std::unique_ptr<Event>> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_EVENT_POOL_H_
