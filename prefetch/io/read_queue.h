// The requests of an engine: cut into reads and writes, handed out by priority, put together and
// answered.
#ifndef SLUICE_PREFETCH_IO_READ_QUEUE_H_
#define SLUICE_PREFETCH_IO_READ_QUEUE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/base/mutex.h"
#include "prefetch/io/io_engine.h"
#include "prefetch/io/io_file.h"
#include "prefetch/io/simulated_disk.h"

namespace sluice {

struct ReadJob;  // a request and what has become of it

// What one call of the kernel is asked to read, or to write: `room` bytes, of which `wanted` must
// arrive.
struct Read {
  bool write = false;
  int file = 0;
  int64_t offset = 0;
  std::byte* data = nullptr;
  int64_t room = 0;    // a multiple of 4096 when the file is direct
  int64_t wanted = 0;  // 1 .. room; less than room only at the end of a request
  int attempts = 0;    // in a row that were interrupted
  std::shared_ptr<ReadJob> job;
};

// Takes the result of a call (bytes, or -errno) into account. True: all has arrived. False: `read`
// is now what is left, or the same again after EINTR or EAGAIN; call again. Unavailable: it failed,
// or the file ended, or the disk took nothing.
absl::StatusOr<bool> Advance(const IoFile& file, int64_t result, Read* read);

// Thread-safe. Requests go out by priority, and in the order they came. One engine thread that
// sleeps in the kernel uses TryTake; threads that wait for work here use WaitAndTake.
class ReadQueue {
 public:
  using Clock = std::chrono::steady_clock;

  // `files` must outlive the queue. Of `options` it uses read_bytes, queue_depth and
  // max_bytes_per_s.
  ReadQueue(const std::vector<IoFile>* files, const IoOptions& options);

  // True: the last TryTake found nothing, so its thread sleeps and must be woken.
  [[nodiscard]] bool Push(IoRequest request);

  // kLater: there is something, for which the simulated disk is ready at next_start().
  enum class Taken : uint8_t { kRead, kEmpty, kLater, kClosed };
  Taken TryTake(Read* read);
  Clock::time_point next_start() const;
  bool WaitAndTake(Read* read);  // false once closed
  // Whether there is a read to take while `takers` reads or more are in flight: as many threads as
  // that are in a call.
  bool ShortOfTakers(int takers) const;

  // After a call for `read` returned `result`. True: `read` must be called again. False: it has
  // ended, and its request was answered if this was the last of it.
  [[nodiscard]] bool Complete(int64_t result, Read* read);
  // Ends `read` with `status`.
  void End(absl::Status status, Read* read);

  // No more reads are handed out. True: as Push.
  [[nodiscard]] bool Close();
  // Answers every request that waits with `status`, now and as they come, until Close().
  void RefuseUntilClosed(const absl::Status& status);

  IoCounters counters() const;

 private:
  bool TakeLocked(Read* read) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // After TakeLocked found nothing: what there is waits for the simulated disk.
  bool HasWorkLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends one read of `job`. True: that was its last, and it must be answered, without the lock.
  bool EndLocked(absl::Status status, ReadJob* job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::vector<IoFile>& files_;
  const int64_t read_bytes_;
  const Clock::time_point created_ = Clock::now();

  mutable Mutex mutex_;
  CondVar work_;  // signalled when a queue grows or closed_ is set
  // By priority.
  std::deque<std::shared_ptr<ReadJob>> queues_[kNumIoPriorities] ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool taker_sleeps_ ABSL_GUARDED_BY(mutex_) = false;
  int in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t bytes_read_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t bytes_written_ ABSL_GUARDED_BY(mutex_) = 0;
  SimulatedDisk disk_ ABSL_GUARDED_BY(mutex_);
  Clock::duration busy_ ABSL_GUARDED_BY(mutex_){0};       // up to idle_since_
  Clock::time_point busy_since_ ABSL_GUARDED_BY(mutex_);  // of use while in_flight_ > 0
  Clock::time_point idle_since_ ABSL_GUARDED_BY(mutex_);  // may lie ahead: simulated
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_IO_READ_QUEUE_H_
