// Threads that the system refuses, in child processes that it refuses them to.
#include "kernels/cpu/thread.h"

#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <iterator>
#include <new>
#include <stdexcept>

#include "gtest/gtest.h"
#include "kernels/base/exception_status.h"
#include "kernels/cpu/thread_pool.h"

namespace sluice {
namespace {

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLUICE_HAS_SANITIZER_THREADS
#endif
#endif

// From here on this process starts no thread.
bool ForbidThreads() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {.len = std::size(code), .filter = code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// From here on this process has at most `most` threads: it is of a user who has no other process.
// False: not permitted.
bool AllowThreads(rlim_t most) {
  const rlimit limit = {.rlim_cur = most, .rlim_max = most};
  return geteuid() == 0 && setrlimit(RLIMIT_NPROC, &limit) == 0 && setgroups(0, nullptr) == 0 &&
         setgid(65534) == 0 && setuid(100000 + static_cast<uid_t>(getpid()) % 1000000) == 0;
}

// Runs a loop and ends the process: 0 where each range was visited once.
[[noreturn]] void RunLoopAndExit(ThreadPool& pool) {
  std::cerr << pool.num_threads() << " threads, " << pool.shortage() << std::endl;
  std::atomic<int64_t> sum = 0;
  pool.Run(1000, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sum += i;
  });
  _exit(sum == 499500 ? 0 : 1);
}

TEST(ThreadDeathTest, RefusalIsAStatusThatNamesTheLimit) {
  EXPECT_EXIT(
      {
        if (!ForbidThreads()) _exit(9);
        const absl::StatusOr<Thread> thread = Thread::Start("sluice-test", [] {});
        std::cerr << ThreadShortage("for testing", 3, 0, thread.status()) << std::endl;
        _exit(absl::IsResourceExhausted(thread.status()) ? 0 : 1);
      },
      testing::ExitedWithCode(0),
      "cannot start a thread for testing \\(3 wanted\\): .*raise .*ulimit -u");
}

TEST(ThreadDeathTest, CheckThreadsStartSaysWhatIsMissing) {
  EXPECT_TRUE(CheckThreadsStart("for testing", 2).ok());
  EXPECT_EXIT(
      {
        if (!ForbidThreads()) _exit(9);
        std::cerr << CheckThreadsStart("for testing", 2) << std::endl;
        _exit(0);
      },
      testing::ExitedWithCode(0), "cannot start a thread for testing \\(2 wanted\\)");
}

TEST(ThreadDeathTest, TeamComputesAloneWhereNoThreadStarts) {
  EXPECT_EXIT(
      {
        if (!ForbidThreads()) _exit(9);
        ThreadPool pool(4);
        RunLoopAndExit(pool);
      },
      testing::ExitedWithCode(0),
      "1 threads, RESOURCE_EXHAUSTED: started 1 of 4 threads for computing: ");
}

TEST(ThreadDeathTest, TeamLeavesThreadsForOthersWhereSomeAreRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become a user who has no other process";
#ifdef SLUICE_HAS_SANITIZER_THREADS
  GTEST_SKIP() << "ThreadSanitizer's own threads count towards the limit";
#endif
  EXPECT_EXIT(
      {
        if (!AllowThreads(12)) _exit(9);
        ThreadPool pool(64);
        if (!CheckThreadsStart("for others", 4).ok()) _exit(2);
        RunLoopAndExit(pool);
      },
      testing::ExitedWithCode(0),
      "7 threads, RESOURCE_EXHAUSTED: started 7 of 64 threads .*ulimit -u is 12: raise it");
}

TEST(Thread, PoolGrowsBetweenLoops) {
  ThreadPool pool(1);
  for (const int threads : {1, 3, 2, 5}) {
    pool.Grow(threads);
    std::atomic<int64_t> sum = 0;
    pool.Run(100, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) sum += i;
    });
    EXPECT_EQ(sum, 4950);
  }
  EXPECT_EQ(pool.num_threads(), 5);
  EXPECT_TRUE(pool.shortage().ok());
}

TEST(Thread, LoopThrowsWhatItsBodyThrewOnAnyThread) {
  for (const int threads : {1, 4}) {
    ThreadPool pool(threads);
    for (int i = 0; i < 20; ++i) {
      EXPECT_THROW(pool.Run(64, 1,
                            [&](int64_t begin, int64_t end) {
                              if (begin <= i && i < end) throw std::bad_alloc();
                            }),
                   std::bad_alloc);
      std::atomic<int> visits = 0;  // and goes on afterwards
      pool.Run(64, 1, [&](int64_t, int64_t) { ++visits; });
      EXPECT_GT(visits, 0);
    }
  }
}

TEST(ExceptionStatus, SaysWhatWasThrown) {
  EXPECT_TRUE(CatchExceptions([] { return absl::OkStatus(); }).ok());
  EXPECT_TRUE(
      absl::IsResourceExhausted(CatchExceptions([]() -> absl::Status { throw std::bad_alloc(); })));
  EXPECT_TRUE(absl::IsResourceExhausted(
      CatchExceptions([]() -> absl::Status { throw std::length_error("x"); })));
  const absl::Status other =
      CatchExceptions([]() -> absl::Status { throw std::runtime_error("a reason"); });
  EXPECT_EQ(other.message(), "unexpected error: a reason");
}

}  // namespace
}  // namespace sluice
