// The requests of an engine: cut into reads and writes, handed out by priority, put together and
// answered.
#ifndef SLUICE_PREFETCH_IO_READ_QUEUE_H_
#define SLUICE_PREFETCH_IO_READ_QUEUE_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
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

// Thread-safe. Requests go out in the order they came, urgent ones first. One engine thread that
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
  bool TakeLocked(Read* read);
  // After TakeLocked found nothing: what there is waits for the simulated disk.
  bool HasWorkLocked() const;
  // Ends one read of `job`. True: that was its last, and it must be answered, without the lock.
  bool EndLocked(absl::Status status, ReadJob* job);

  const std::vector<IoFile>& files_;
  const int64_t read_bytes_;
  const Clock::time_point created_ = Clock::now();

  mutable std::mutex mutex_;
  std::condition_variable work_;                   // signalled when a queue grows or closed_ is set
  std::deque<std::shared_ptr<ReadJob>> urgent_;    // guarded by mutex_
  std::deque<std::shared_ptr<ReadJob>> ordinary_;  // guarded by mutex_
  bool closed_ = false;                            // guarded by mutex_
  bool taker_sleeps_ = false;                      // guarded by mutex_
  int in_flight_ = 0;                              // guarded by mutex_
  int64_t bytes_read_ = 0;                         // guarded by mutex_
  int64_t bytes_written_ = 0;                      // guarded by mutex_
  SimulatedDisk disk_;                             // guarded by mutex_
  Clock::duration busy_{0};                        // guarded by mutex_; up to idle_since_
  Clock::time_point busy_since_;                   // guarded by mutex_; of use while in_flight_ > 0
  Clock::time_point idle_since_;                   // guarded by mutex_; may lie ahead: simulated
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_IO_READ_QUEUE_H_
