// -t and where the compute threads run, for every command that computes.
#ifndef SLUICE_TOOLS_COMPUTE_THREADS_H_
#define SLUICE_TOOLS_COMPUTE_THREADS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "kernels/cpu/thread.h"
#include "kernels/cpu/thread_pool.h"
#include "tools/command.h"

namespace sluice {

struct ComputeThreads {
  int count = 1;
  int cores = 1;  // of the CPUs that they may run on: what `count` is without -t
  ThreadPlacement placement;
};

// --threads, --cpu-mask, --cpu-range and --cpu-strict, as llama.cpp has them.
std::vector<OptionSpec> ComputeThreadSpecs();

// Without -t: a thread a physical core of the CPUs that were named, or that this process may use;
// siblings of a core share its vector units, and what is left of it is for reading and verifying.
// InvalidArgument: CPUs that this process may not use.
absl::StatusOr<ComputeThreads> ParseComputeThreads(const Arguments& args);

// `wanted`, or as many threads as half of the free memory has room for where each takes
// `bytes_each`; at least 1. Fewer are said as SayFewerThreads() says it.
int ThreadsThatFit(int64_t wanted, int64_t bytes_each);

// Says on standard error that there are fewer threads than wanted, and why: once in a process,
// whoever tells it.
ThreadShortageFn SayFewerThreads();

}  // namespace sluice

#endif  // SLUICE_TOOLS_COMPUTE_THREADS_H_
