// What keeps a process without memory, without threads or with a small stack from ending in a
// crash.
#ifndef SLUICE_TOOLS_LAST_RESORT_H_
#define SLUICE_TOOLS_LAST_RESORT_H_

#include <functional>

namespace sluice {

// Call first in main(): an exception that nobody catches, on whatever thread, then ends the process
// with one line on standard error, which begins with `command`, and exit code 1 instead of an
// abort; so does an operator new that finds no memory, at once and without unwinding: what is on
// disk survives that as it survives kill -9. `command` must outlive the process's threads. Under
// ulimit -v the allocator shares one arena, as each more reserves 64 MiB of address space.
void PrepareForShortage(const char* command);

// Calls `body` and returns its result: on this thread, or where ulimit -s is below 8 MiB on another
// one, which has that.
int RunOnAmpleStack(const std::function<int()>& body);

}  // namespace sluice

#endif  // SLUICE_TOOLS_LAST_RESORT_H_
