// Threads that start behind a Status: a system may refuse one (ulimit -u, pids.max of a cgroup,
// ulimit -v).
#ifndef SLUICE_KERNELS_CPU_THREAD_H_
#define SLUICE_KERNELS_CPU_THREAD_H_

#include <pthread.h>

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

// A thread, or none. The destructor joins it.
class Thread {
 public:
  // The stack of a thread, whatever ulimit -s says: a huge one asks each thread for that much
  // address space, and a small one would be overrun.
  static constexpr int64_t kStackBytes = int64_t{1} << 20;

  // `name` has at most 15 characters. `body` must not throw. ResourceExhausted: the system refuses;
  // the message names the limit to raise.
  static absl::StatusOr<Thread> Start(const char* name, std::function<void()> body,
                                      int64_t stack_bytes = kStackBytes);

  Thread() = default;
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;
  ~Thread() { Join(); }

  bool joinable() const { return running_; }
  void Join();  // nothing where there is none

 private:
  pthread_t thread_ = {};
  bool running_ = false;
};

// Called once by code that continues with fewer threads than it wanted, on any thread. May be
// empty.
using ThreadShortageFn = std::function<void(const absl::Status& shortage)>;

// `refusal` of Thread::Start, with what it means: "started 11 of 64 threads for computing: ...".
// `purpose`: "for computing".
absl::Status ThreadShortage(absl::string_view purpose, int64_t wanted, int64_t started,
                            const absl::Status& refusal);

// Whether `count` more threads can be started now. For callers that begin work which must not stop
// half done.
absl::Status CheckThreadsStart(absl::string_view purpose, int count);

}  // namespace sluice

#endif  // SLUICE_KERNELS_CPU_THREAD_H_
