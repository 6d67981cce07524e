// Counts answers.
#include "prefetch/io/io_batch.h"

#include <utility>

namespace sluice {

void IoBatch::Submit(IoRequest request) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    request.done = [this, i = statuses_.size()](absl::Status status) {
      std::lock_guard<std::mutex> done_lock(mutex_);
      statuses_[i] = std::move(status);
      if (--pending_ == 0) answered_.notify_one();
    };
    ++pending_;
    statuses_.emplace_back();
  }
  engine_->Submit(std::move(request));
}

std::vector<absl::Status> IoBatch::Wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  answered_.wait(lock, [this] { return pending_ == 0; });
  return std::exchange(statuses_, {});
}

}  // namespace sluice
