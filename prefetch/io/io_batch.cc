// Counts answers.
#include "prefetch/io/io_batch.h"

#include <utility>

namespace sluice {

void IoBatch::Submit(IoRequest request) {
  {
    const MutexLock lock(&mutex_);
    request.done = [this, i = statuses_.size()](absl::Status status) {
      const MutexLock done_lock(&mutex_);
      statuses_[i] = std::move(status);
      if (--pending_ == 0) answered_.NotifyOne();
    };
    ++pending_;
    statuses_.emplace_back();
  }
  engine_->Submit(std::move(request));
}

std::vector<absl::Status> IoBatch::Wait() {
  const MutexLock lock(&mutex_);
  while (pending_ != 0) answered_.Wait(&mutex_);
  return std::exchange(statuses_, {});
}

}  // namespace sluice
