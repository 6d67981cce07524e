// The system calls, with a step in front.
#include "fault_injection.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace sluice {
namespace {

FaultPlan plan;
std::atomic<bool> armed{false};
std::atomic<int64_t> calls{0};
std::atomic<int64_t> free_disk_bytes{-1};

// What to do with the call that is about to be made: 0 to make it, or an errno. May not return.
int Step(bool is_write, int fd = -1, const void* bytes = nullptr, size_t size = 0,
         off_t offset = 0) {
  if (!armed || (plan.writes_only && !is_write)) return 0;
  const int64_t call = calls++;
  if (plan.action == FaultPlan::Action::kFailAll && call >= plan.at) return plan.error;
  if (call != plan.at) return 0;
  if (plan.action == FaultPlan::Action::kFail) return plan.error;
  if (plan.action != FaultPlan::Action::kKill) return 0;
  armed = false;
  if (bytes != nullptr) (void)!pwrite(fd, bytes, size / 2 / 4096 * 4096, offset);
  kill(getpid(), SIGKILL);
  while (true) pause();
}

template <typename Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

void ArmFaults(const FaultPlan& new_plan) {
  plan = new_plan;
  calls = 0;
  armed = true;
}

int64_t DisarmFaults() {
  armed = false;
  return calls;
}

void SetFreeDiskBytes(int64_t bytes) { free_disk_bytes = bytes; }

}  // namespace sluice

// Defines `name`, which asks Step() and then calls the next definition of the same name.
#define SLUICE_FAULTY(result, name, parameters, arguments, step_arguments)          \
  extern "C" result name parameters {                                               \
    static result(*const real) parameters = sluice::Real<result parameters>(#name); \
    if (const int error = sluice::Step step_arguments; error != 0) {                \
      errno = error;                                                                \
      return -1;                                                                    \
    }                                                                               \
    return real arguments;                                                          \
  }

SLUICE_FAULTY(ssize_t, pwrite, (int fd, const void* bytes, size_t size, off_t offset),
              (fd, bytes, size, offset), (true, fd, bytes, size, offset))
SLUICE_FAULTY(int, fallocate, (int fd, int mode, off_t offset, off_t size),
              (fd, mode, offset, size), (true))
SLUICE_FAULTY(int, ftruncate, (int fd, off_t size) noexcept, (fd, size), (false))
SLUICE_FAULTY(int, fsync, (int fd), (fd), (false))
SLUICE_FAULTY(int, rename, (const char* from, const char* to) noexcept, (from, to), (false))
SLUICE_FAULTY(int, unlink, (const char* path) noexcept, (path), (false))
SLUICE_FAULTY(int, mkdir, (const char* path, mode_t mode) noexcept, (path, mode), (false))

extern "C" int statvfs(const char* path, struct statvfs* info) noexcept {
  static int (*const real)(const char*, struct statvfs*) =
      sluice::Real<int(const char*, struct statvfs*)>("statvfs");
  const int result = real(path, info);
  if (result == 0 && sluice::free_disk_bytes >= 0) {
    info->f_bavail = sluice::free_disk_bytes / info->f_frsize;
  }
  return result;
}
