// The requests of an engine: they are cut into reads and writes, handed out by priority, put
// together and answered.
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

// A call of the kernel that reads or writes `room` bytes, of which `wanted` must arrive.
struct Read {
  bool write = false;
  int file = 0;
  int64_t offset = 0;
  std::byte* data = nullptr;
  int64_t room = 0;    // a multiple of 4096 when the file is direct
  int64_t wanted = 0;  // 1 .. room; less than room only at the end of a request
  int attempts = 0;    // how often in a row it was interrupted
  std::shared_ptr<ReadJob> job;
};

// Takes the result of a call (bytes, or -errno) into account. True: all has arrived. False: call
// again with `read`, which is now what is left, or the same after EINTR or EAGAIN. Unavailable: the
// call failed, or the file ended, or the disk took nothing.
absl::StatusOr<bool> Advance(const IoFile& file, int64_t result, Read* read);

// Hands requests out by priority, and in the order they came. An engine thread that sleeps in the
// kernel uses TryTake; threads that wait for work here use WaitAndTake. Thread-safe.
class ReadQueue {
 public:
  using Clock = std::chrono::steady_clock;

  // `files` must outlive the queue. The queue uses read_bytes, queue_depth and max_bytes_per_s of
  // `options`.
  ReadQueue(const std::vector<IoFile>* files, const IoOptions& options);

  // Returns true if the last TryTake found nothing, so that its thread sleeps and must be woken.
  [[nodiscard]] bool Push(IoRequest request);

  // kLater: there is a read, for which the simulated disk is ready at next_start().
  enum class Taken : uint8_t { kRead, kEmpty, kLater, kClosed };
  Taken TryTake(Read* read);
  Clock::time_point next_start() const;
  bool WaitAndTake(Read* read);  // false once closed
  // Returns whether there is a read to take while `takers` reads or more are in flight. `takers`:
  // the number of threads that are in a call.
  bool ShortOfTakers(int takers) const;

  // Takes the result of a call for `read`. True: `read` must be called again. False: it has ended,
  // and its request was answered if this was the last read of it.
  [[nodiscard]] bool Complete(int64_t result, Read* read);
  // Ends `read` with `status`.
  void End(absl::Status status, Read* read);

  // Hands out no more reads. Returns true as Push() does.
  [[nodiscard]] bool Close();
  // Answers every waiting request with `status`, and later ones as they come, until Close().
  void RefuseUntilClosed(const absl::Status& status);

  IoCounters counters() const;

 private:
  bool TakeLocked(Read* read) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Called after TakeLocked found nothing: returns whether there is a read that waits for the
  // simulated disk.
  bool HasWorkLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends one read of `job`. True: it was the last one, and the job must be answered, without the
  // lock.
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
  Clock::time_point busy_since_ ABSL_GUARDED_BY(mutex_);  // since when in_flight_ > 0
  Clock::time_point idle_since_ ABSL_GUARDED_BY(mutex_);  // may lie ahead, if the disk is simulated
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_IO_READ_QUEUE_H_
