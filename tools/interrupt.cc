// The signal handlers, and the timer that ends a program which a signal did not end.
#include "tools/interrupt.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace sluice {
namespace {

constexpr int kExitInterrupted = 130;
// `timeout`, container runtimes and terminals send one request to end several times: to the process
// and to its group.
constexpr int64_t kSameSignalNs = 200'000'000;
constexpr int64_t kTickNs = 250'000'000;
// A program that neither reads nor writes for this long, and uses next to no CPU, waits for what
// does not answer.
constexpr int kStalledTicks = 6;
constexpr int64_t kStalledCpuNs = kStalledTicks * kTickNs / 50;

// A signal handler can reach nothing but statics.
std::atomic<bool> interrupted{false};
std::atomic<int64_t> interrupted_at_ns{0};
std::atomic<bool> has_timer{false};
timer_t stall_timer;
// Of the timer's handler, once a first signal has set them.
std::atomic<int> idle_ticks{0};
std::atomic<int64_t> cpu_ns_before{0};
std::atomic<int64_t> io_before{0};
std::atomic<bool> terminated{false};
std::atomic<bool> resized{false};
std::atomic<bool> continued{false};
std::atomic<int> wake_fd{-1};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free &&
              std::atomic<int64_t>::is_always_lock_free);

int64_t ReadClockNs(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Bytes that this process has read so far, and has written to disks. What it shows on a terminal
// does not count. 0 where /proc says nothing. Async-signal-safe.
int64_t ReadIoBytes() {
  char text[512];
  const int fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t size = read(fd, text, sizeof(text) - 1);
  close(fd);
  if (size <= 0) return 0;
  text[size] = '\0';
  int64_t sum = 0;
  for (const char* const key : {"\nread_bytes: ", "\nwrite_bytes: "}) {
    const char* at = std::strstr(text, key);
    if (at == nullptr) continue;
    int64_t number = 0;
    for (at += std::strlen(key); *at >= '0' && *at <= '9'; ++at) number = number * 10 + (*at - '0');
    sum += number;
  }
  return sum;
}

void SetStallTimer(int64_t period_ns) {
  if (!has_timer.load()) return;
  const itimerspec period = {{0, period_ns}, {0, period_ns}};
  timer_settime(stall_timer, 0, &period, nullptr);
}

void Wake() {
  const int saved = errno;
  const uint64_t one = 1;
  const int fd = wake_fd.load();
  if (fd >= 0 && write(fd, &one, sizeof(one)) < 0) {  // full: it can be read already
  }
  errno = saved;
}

void OnSignal(int signal) {
  const int saved = errno;
  if (signal == SIGTERM) terminated = true;
  const int64_t now_ns = ReadClockNs(CLOCK_MONOTONIC);
  if (interrupted.exchange(true)) {
    if (now_ns - interrupted_at_ns.load() >= kSameSignalNs) _exit(kExitInterrupted);
  } else {
    interrupted_at_ns = now_ns;
    cpu_ns_before = ReadClockNs(CLOCK_PROCESS_CPUTIME_ID);
    io_before = ReadIoBytes();
    idle_ticks = 0;
    SetStallTimer(kTickNs);
  }
  errno = saved;
  Wake();
}

// Runs each tick from the first signal on. What waits for a disk, a network file system or a reader
// of the output that does not answer cannot be told to return.
void OnTick(int) {
  const int saved = errno;
  const int64_t cpu_ns = ReadClockNs(CLOCK_PROCESS_CPUTIME_ID);
  const int64_t io = ReadIoBytes();
  const bool idle = cpu_ns - cpu_ns_before.load() < kStalledCpuNs && io == io_before.load();
  idle_ticks = idle ? idle_ticks.load() + 1 : 0;
  io_before = io;
  if (!idle) cpu_ns_before = cpu_ns;
  if (interrupted.load() && idle_ticks.load() >= kStalledTicks) {
    static constexpr char kMessage[] =
        "sluice: interrupted; a read or a write did not return within 1.5 s, so the program ended "
        "without waiting for "
        "it\n";
    if (write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1) < 0) {  // there is nobody else to tell
    }
    _exit(kExitInterrupted);
  }
  errno = saved;
}

void OnTerminalSignal(int signal) {
  (signal == SIGCONT ? continued : resized) = true;
  Wake();
}

}  // namespace

const std::atomic<bool>* InstallInterruptHandler() {
  struct sigaction tick = {};
  tick.sa_handler = OnTick;
  tick.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &tick, nullptr);
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGALRM;
  // Where no timer can be had, a second signal still ends the program.
  if (!has_timer.load()) has_timer = timer_create(CLOCK_MONOTONIC, &event, &stall_timer) == 0;
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return &interrupted;
}

void ClearInterrupt() {
  SetStallTimer(0);
  interrupted = false;
}

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
