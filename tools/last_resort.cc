// A terminate handler that allocates nothing, and a thread for the sake of its stack.
#include "tools/last_resort.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <exception>
#include <new>

#include "kernels/cpu/process_limits.h"
#include "kernels/cpu/thread.h"

namespace sluice {
namespace {

constexpr int64_t kAmpleStackBytes = int64_t{8} << 20;  // what systems give a main thread by default

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
  WriteToStderr("sluice");
  if (*command_name != '\0') WriteToStderr(" ");
  WriteToStderr(command_name);
  WriteToStderr(": ");
  WriteToStderr(what);
  WriteToStderr("\n");
  _exit(1);
}

}  // namespace

void PrepareForShortage(const char* command) {
  command_name = command;
  std::set_terminate(&EndWithOneLine);
  if (AddressSpaceUlimit().has_value()) mallopt(M_ARENA_MAX, 1);
}

int RunOnAmpleStack(const std::function<int()>& body) {
  rlimit limit;
  if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= static_cast<rlim_t>(kAmpleStackBytes)) return body();
  int result = 0;
  absl::StatusOr<Thread> thread = Thread::Start("sluice", [&] { result = body(); }, kAmpleStackBytes);
  if (!thread.ok()) return body();
  // Signals go to the thread that works, as it may wait in a call that they interrupt.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  thread->Join();
  return result;
}

}  // namespace sluice
