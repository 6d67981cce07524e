// Reads and writes through a pool of threads, each in one pread or pwrite, for systems that do not
// permit io_uring.
#ifndef SLUICE_PREFETCH_IO_THREAD_ENGINE_H_
#define SLUICE_PREFETCH_IO_THREAD_ENGINE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/base/mutex.h"
#include "kernels/cpu/thread.h"
#include "prefetch/io/io_engine.h"
#include "prefetch/io/io_file.h"
#include "prefetch/io/read_queue.h"

namespace sluice {

// Owns threads "sluice-io": one at first, and another one whenever there is a call to make and all
// threads are in a call, up to as many as calls may be in flight.
class ThreadEngine : public IoEngine {
 public:
  // `reason`: why io_uring is not used, for description(); empty if these threads were asked for.
  // ResourceExhausted: the system does not start the first thread.
  static absl::StatusOr<std::unique_ptr<IoEngine>> Create(std::vector<IoFile> files,
                                                          absl::string_view reason,
                                                          const IoOptions& options);
  ~ThreadEngine() override;

  void Submit(IoRequest request) override;
  IoCounters counters() const override { return queue_.counters(); }
  const std::string& description() const override { return description_; }

 private:
  ThreadEngine(std::vector<IoFile> files, absl::string_view reason, const IoOptions& options);
  absl::Status StartThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(threads_mutex_);
  void StartThreadIfShort();  // any thread
  void Run();

  const std::vector<IoFile> files_;
  const ThreadShortageFn on_fewer_threads_;
  // The CPUs of the thread that created the engine; a thread with fewer may start later ones.
  const std::vector<int> cpus_;
  ReadQueue queue_;
  std::string description_;
  Mutex threads_mutex_;
  // Falls once the system has refused a thread; 0: the engine is being closed.
  int most_threads_ ABSL_GUARDED_BY(threads_mutex_);
  std::vector<Thread> threads_ ABSL_GUARDED_BY(threads_mutex_);
};

}  // namespace sluice

#endif  // SLUICE_PREFETCH_IO_THREAD_ENGINE_H_
