// What keeps this process from more threads and more memory, in words for error messages.
#ifndef SLUICE_KERNELS_BASE_PROCESS_LIMITS_H_
#define SLUICE_KERNELS_BASE_PROCESS_LIMITS_H_

#include <cstdint>
#include <optional>
#include <string>

namespace sluice {

// One of setrlimit(2)'s limits of memory, where it is set.
struct MemoryUlimit {
  const char* flag;     // "-v"; "" of CommitLimit
  int64_t limit_bytes;  // of address space (-v), of writable private memory (-d)
  int64_t used_bytes;   // by this process now
};
std::optional<MemoryUlimit> AddressSpaceUlimit();
std::optional<MemoryUlimit> DataUlimit();

// What all processes may take together where the system does not promise more memory than it has
// (vm.overcommit_memory is 2). `root` as in cgroup.h.
std::optional<MemoryUlimit> CommitLimit(const std::string& root);

// A line "KEY   123 kB" of a file of /proc, in bytes.
std::optional<int64_t> ReadProcKib(const std::string& path, const std::string& key);

// After the system refused a thread with a stack of `stack_bytes`: the limit that is reached and
// how to raise it, or the limits that it can be. "ulimit -u is 20: raise it".
std::string DescribeThreadLimit(int64_t stack_bytes);

// After the system refused `bytes` of memory: the same. Empty where no limit of this process is the
// reason.
std::string DescribeMemoryLimit(int64_t bytes);

}  // namespace sluice

#endif  // SLUICE_KERNELS_BASE_PROCESS_LIMITS_H_
