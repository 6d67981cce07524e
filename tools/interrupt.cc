// The signal handlers.
#include "tools/interrupt.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace sluice {
namespace {

// A signal handler can reach nothing but statics.
std::atomic<bool> interrupted{false};
std::atomic<bool> terminated{false};
std::atomic<bool> resized{false};
std::atomic<bool> continued{false};
std::atomic<int> wake_fd{-1};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

void Wake() {
  const int saved = errno;
  const uint64_t one = 1;
  const int fd = wake_fd.load();
  if (fd >= 0 && write(fd, &one, sizeof(one)) < 0) {  // full: it can be read already
  }
  errno = saved;
}

void OnSignal(int signal) {
  if (signal == SIGTERM) terminated = true;
  if (interrupted.exchange(true)) _exit(130);
  Wake();
}

void OnTerminalSignal(int signal) {
  (signal == SIGCONT ? continued : resized) = true;
  Wake();
}

}  // namespace

const std::atomic<bool>* InstallInterruptHandler() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return &interrupted;
}

void ClearInterrupt() { interrupted = false; }

bool TerminationRequested() { return terminated.load(); }

int WatchSignals() {
  if (wake_fd.load() < 0) wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action = {};
  action.sa_handler = OnTerminalSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGWINCH, &action, nullptr);
  sigaction(SIGCONT, &action, nullptr);
  return wake_fd.load();
}

bool TakeResize() { return resized.exchange(false); }

bool TakeContinue() { return continued.exchange(false); }

}  // namespace sluice
