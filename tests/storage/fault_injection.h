// Makes the system calls that change files fail, or kill the process, at a chosen moment.
//
// The test program defines pwrite, fsync, rename, ... itself, which goes before libc's; the code
// under test needs no hook. Disarmed, each passes its call on.
#ifndef SLUICE_TESTS_STORAGE_FAULT_INJECTION_H_
#define SLUICE_TESTS_STORAGE_FAULT_INJECTION_H_

#include <cstdint>

namespace sluice {

struct FaultPlan {
  enum class Action : uint8_t {
    kCount,    // only count the calls
    kKill,     // SIGKILL before the call; a pwrite has then written the first half of its blocks
    kFail,     // this one call fails with `error`
    kFailAll,  // this call and all later ones
  };
  Action action = Action::kCount;
  int64_t at = -1;  // which of the counted calls, from 0 on
  int error = 0;
  bool writes_only = false;  // count pwrite and fallocate only
};

// Starts counting calls of this process, from all threads. Not for use while other threads run.
void ArmFaults(const FaultPlan& plan);
// Stops, and returns how many calls there were.
int64_t DisarmFaults();

// What statvfs says is free from now on, for every path; -1: the truth.
void SetFreeDiskBytes(int64_t bytes);

}  // namespace sluice

#endif  // SLUICE_TESTS_STORAGE_FAULT_INJECTION_H_
