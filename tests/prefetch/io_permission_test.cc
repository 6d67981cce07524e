// What an ordinary user meets: little memory to lock, and no io_uring. Each test runs in a child
// process.
#include <errno.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <string>

#include "prefetch/slab_stream.h"
#include "tests/prefetch/test_store.h"

namespace sluice {
namespace {

// Two walks over `store`; what was in use, or what went wrong, goes to standard error. Ends the
// process.
[[noreturn]] void StreamAndExit(const TestStore& store, const StreamOptions& options) {
  auto stream = SlabStream::Create(store.paths(), store.cycle(), options);
  if (!stream.ok()) {
    std::cerr << stream.status() << std::endl;
    _exit(2);
  }
  for (size_t i = 0; i < 2 * store.cycle().size(); ++i) {
    const auto lease = (*stream)->Next();
    if (!lease.ok() || !std::ranges::equal(lease->bytes(), store.slab(lease->slab()))) {
      std::cerr << "slab " << i << ": " << lease.status() << std::endl;
      _exit(3);
    }
  }
  std::cerr << (*stream)->io_description() << std::endl;
  stream->reset();
  _exit(0);
}

// False: this process has kept the right to lock more.
bool BecomeUserWhoMayLock(rlim_t bytes) {
  const rlimit limit = {.rlim_cur = bytes, .rlim_max = bytes};
  if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return false;
  if (geteuid() != 0) return true;
  // What io_uring locks counts for the user, not for the process: a user of its own for each test,
  // as others may run at the same time. A container may not know such a user.
  const uid_t own = 100000 + static_cast<uid_t>(getpid()) % 1000000;
  return setgroups(0, nullptr) == 0 && setgid(65534) == 0 &&
         (setuid(own) == 0 || setuid(65534) == 0);
}

// From here on io_uring_setup fails with EPERM, as in a container's default profile.
bool ForbidUring() {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {.len = std::size(code), .filter = code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

class IoPermissionDeathTest : public testing::Test {
 protected:
  IoPermissionDeathTest() : store_({300000, 1, 70000, 4096, 1000000}, 2) {}

  StreamOptions Options(IoKind kind, int64_t ring_bytes) const {
    return {.io = {.kind = kind}, .ring_bytes = ring_bytes};
  }
  void SkipWithoutUring() {
    if (const std::string reason = WhyNot(EngineCases()[0]); !reason.empty())
      GTEST_SKIP() << reason;
  }

  TestStore store_;
};

TEST_F(IoPermissionDeathTest, StreamsWithoutRegisteringWhereMemoryCannotBeLocked) {
  SkipWithoutUring();
  EXPECT_EXIT(
      {
        if (!BecomeUserWhoMayLock(8192)) _exit(9);
        StreamAndExit(store_, Options(IoKind::kUring, 1 << 20));
      },
      testing::ExitedWithCode(0), "io_uring, .*unregistered buffers .*RLIMIT_MEMLOCK is 8192");
}

TEST_F(IoPermissionDeathTest, StreamsARingLargerThanAnOrdinaryUserMayLock) {
  SkipWithoutUring();
  EXPECT_EXIT(
      {
        if (!BecomeUserWhoMayLock(8 << 20)) _exit(9);
        StreamAndExit(store_, Options(IoKind::kUring, 16 << 20));
      },
      testing::ExitedWithCode(0), "io_uring, .*unregistered buffers .*RLIMIT_MEMLOCK is 8388608");
}

// No word on registering: all processes of that user share the limit.
TEST_F(IoPermissionDeathTest, StreamsASmallRingAsAnOrdinaryUser) {
  SkipWithoutUring();
  EXPECT_EXIT(
      {
        if (!BecomeUserWhoMayLock(8 << 20)) _exit(9);
        StreamAndExit(store_, Options(IoKind::kUring, 1 << 20));
      },
      testing::ExitedWithCode(0), "io_uring, .*registered buffers");
}

TEST_F(IoPermissionDeathTest, FallsBackToThreadsWhereUringIsForbidden) {
  EXPECT_EXIT(
      {
        if (!ForbidUring()) _exit(9);
        StreamAndExit(store_, Options(IoKind::kAuto, 1 << 20));
      },
      testing::ExitedWithCode(0),
      "[0-9]+ pread threads \\(io_uring_setup: Operation not permitted\\), ");
}

TEST_F(IoPermissionDeathTest, FailsWhereUringIsDemandedAndForbidden) {
  EXPECT_EXIT(
      {
        if (!ForbidUring()) _exit(9);
        StreamAndExit(store_, Options(IoKind::kUring, 1 << 20));
      },
      testing::ExitedWithCode(2), "UNAVAILABLE: io_uring_setup: Operation not permitted");
}

}  // namespace
}  // namespace sluice
