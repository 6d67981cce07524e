// A mutex whose use clang checks: which members it guards, and which functions want it held.
#ifndef SLUICE_KERNELS_BASE_MUTEX_H_
#define SLUICE_KERNELS_BASE_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"

namespace sluice {

// A std::mutex with clang's attributes: -Wthread-safety reports each access to a member that is
// ABSL_GUARDED_BY a mutex which is not held. absl::Mutex has the attributes, but Debian's is not
// built for ThreadSanitizer, which reports false races with it. Other compilers see no attributes.
class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

// Holds a mutex from its construction to its end, or to Unlock(). A function that must let go of
// the mutex for a while, and is called with it held, uses the mutex's own Unlock() and Lock().
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) {
    mutex_->Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() {
    if (mutex_ != nullptr) mutex_->Unlock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  // At most once.
  void Unlock() ABSL_UNLOCK_FUNCTION() {
    mutex_->Unlock();
    mutex_ = nullptr;
  }

 private:
  Mutex* mutex_;  // null: let go of
};

// A std::condition_variable. A wait may end though nobody signalled, so that each stands in a loop
// over its condition. The conditions are no lambdas: clang does not know that those run with the
// mutex held.
class CondVar {
 public:
  void NotifyOne() { changed_.notify_one(); }
  void NotifyAll() { changed_.notify_all(); }

  void Wait(Mutex* mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    changed_.wait(lock);
    lock.release();
  }
  // Returns whether the time is over.
  bool WaitFor(Mutex* mutex, std::chrono::steady_clock::duration duration)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    const bool over = changed_.wait_for(lock, duration) == std::cv_status::timeout;
    lock.release();
    return over;
  }
  // The same, by the system's clock: gcc 12's ThreadSanitizer does not know waiting by the steady
  // one.
  bool WaitUntil(Mutex* mutex, std::chrono::system_clock::time_point time)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    const bool over = changed_.wait_until(lock, time) == std::cv_status::timeout;
    lock.release();
    return over;
  }

 private:
  std::condition_variable changed_;
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_BASE_MUTEX_H_
