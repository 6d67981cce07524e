// A terminate handler that allocates nothing, and a thread for the sake of its stack.
#include "tools/last_resort.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/exception_status.h"
#include "kernels/base/process_limits.h"
#include "kernels/cpu/thread.h"

namespace sluice {
namespace {

constexpr int64_t kAmpleStackBytes = int64_t{8}
                                     << 20;  // what systems give a main thread by default

const char* command_name = "";  // a terminate handler can reach nothing but statics

void WriteToStderr(const char* text) {
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text, std::strlen(text));
}

[[noreturn]] void EndWithOneLine() {
  const char* what = "unexpected error";
  try {
    if (std::current_exception() != nullptr) throw;
  } catch (const std::bad_alloc&) {
    what = "out of memory; give a smaller --max-ram or fewer threads, or raise ulimit -v and -d";
  } catch (const std::exception& error) {
    what = error.what();
  } catch (...) {
  }
  // In one piece, as other threads may be writing lines of their own; and without an allocation.
  char line[512];
  std::snprintf(line, sizeof(line), "sluice%s%s: %s\n", *command_name != '\0' ? " " : "",
                command_name, what);
  WriteToStderr(line);
  _exit(1);
}

// What composing the last message may take.
constexpr size_t kReserveBytes = size_t{64} << 10;
void* reserve = nullptr;
std::atomic<bool> ending{false};
thread_local bool this_thread_ends = false;

// Ends the process where operator new finds no memory. An exception would unwind through containers
// that are about to grow, and Abseil's hash tables of Debian 12 cannot be destroyed then: they free
// memory that they never had.
void EndOutOfMemory() {
  if (this_thread_ends)
    throw std::bad_alloc();  // the reserve did not suffice: the terminate handler speaks
  while (ending.exchange(true)) pause();  // another thread is about to end the process
  this_thread_ends = true;
  std::free(reserve);
  const absl::Status status = CatchExceptions([]() -> absl::Status { throw std::bad_alloc(); });
  const std::string line = absl::StrCat("sluice ", command_name, ": ", status.message(), "\n");
  WriteToStderr(line.c_str());
  _exit(1);
}

}  // namespace

void PrepareForShortage(const char* command) {
  command_name = command;
  std::set_terminate(&EndWithOneLine);
  reserve = std::malloc(kReserveBytes);
  std::set_new_handler(&EndOutOfMemory);
  if (AddressSpaceUlimit().has_value()) mallopt(M_ARENA_MAX, 1);
}

int RunOnAmpleStack(const std::function<int()>& body) {
  rlimit limit;
  if (getrlimit(RLIMIT_STACK, &limit) != 0 ||
      limit.rlim_cur >= static_cast<rlim_t>(kAmpleStackBytes))
    return body();
  int result = 0;
  absl::StatusOr<Thread> thread = Thread::Start(
      "sluice", [&] { result = body(); }, kAmpleStackBytes);
  if (!thread.ok()) return body();
  // Signals go to the thread that works, as it may wait in a call that they interrupt.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  thread->Join();
  return result;
}

}  // namespace sluice
