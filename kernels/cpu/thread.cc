// pthreads, as std::thread knows neither errors without exceptions nor the size of a stack.
#include "kernels/cpu/thread.h"

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/mutex.h"
#include "kernels/base/process_limits.h"

namespace sluice {
namespace {

struct ThreadBody {
  const char* name;
  std::function<void()> run;
};

// Where threads wait until it is open.
struct Gate {
  Mutex mutex;
  CondVar changed;
  bool open ABSL_GUARDED_BY(mutex) = false;
};

// An exception that gets here ends the process: std::terminate.
void* RunThread(void* argument) noexcept {
  const std::unique_ptr<ThreadBody> body(static_cast<ThreadBody*>(argument));
  pthread_setname_np(pthread_self(), body->name);
  body->run();
  return nullptr;
}

}  // namespace

absl::StatusOr<Thread> Thread::Start(const char* name, std::function<void()> body,
                                     int64_t stack_bytes) {
  auto owned = std::make_unique<ThreadBody>(ThreadBody{name, std::move(body)});
  Thread thread;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  const int error = pthread_create(&thread.thread_, &attributes, &RunThread, owned.get());
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat(std::strerror(error), "; ", DescribeThreadLimit(stack_bytes)));
  }
  owned.release();
  thread.running_ = true;
  return thread;
}

Thread::Thread(Thread&& other) noexcept
    : thread_(other.thread_), running_(std::exchange(other.running_, false)) {}

Thread& Thread::operator=(Thread&& other) noexcept {
  std::swap(thread_, other.thread_);
  std::swap(running_, other.running_);
  return *this;
}

void Thread::Join() {
  if (std::exchange(running_, false)) pthread_join(thread_, nullptr);
}

absl::Status ThreadShortage(absl::string_view purpose, int64_t wanted, int64_t started,
                            const absl::Status& refusal) {
  const std::string what =
      started == 0 ? absl::StrCat("cannot start a thread ", purpose, " (", wanted, " wanted)")
                   : absl::StrCat("started ", started, " of ", wanted, " threads ", purpose);
  return absl::ResourceExhaustedError(absl::StrCat(what, ": ", refusal.message()));
}

absl::Status CheckThreadsStart(absl::string_view purpose, int count) {
  Gate gate;
  std::vector<Thread> threads;
  absl::Status status;
  while (status.ok() && static_cast<int>(threads.size()) < count) {
    absl::StatusOr<Thread> thread =
        Thread::Start("sluice-check", [&] {  // all at once: each stays until the last is there
          const MutexLock lock(&gate.mutex);
          while (!gate.open) gate.changed.Wait(&gate.mutex);
        });
    if (thread.ok()) {
      threads.push_back(*std::move(thread));
    } else {
      status =
          ThreadShortage(purpose, count, static_cast<int64_t>(threads.size()), thread.status());
    }
  }
  const MutexLock lock(&gate.mutex);
  gate.open = true;
  gate.changed.NotifyAll();
  return status;  // the threads end as the lock is left, and are joined after that
}

}  // namespace sluice
