// The compute threads: a fixed team that runs one parallel loop at a time, many thousand a second.
//
// A pass is a few hundred short loops with serial steps between, so the workers spin briefly for
// the next loop before they sleep. Neither Abseil nor the standard library has such a pool.
#ifndef SLUICE_KERNELS_CPU_THREAD_POOL_H_
#define SLUICE_KERNELS_CPU_THREAD_POOL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace sluice {

// Where the team runs. CPUs that the system refuses are ignored.
struct ThreadPlacement {
  std::vector<int> cpus;  // empty: wherever the system puts them
  bool strict = false;    // thread i keeps to cpus[i % size]; else all of them to any of `cpus`
};

class ThreadPool {
 public:
  // Starts num_threads - 1 workers (num_threads >= 1): the caller of Run is the first of the team.
  // Where the system refuses some, the team is smaller, and up to 8 of the threads that it could
  // have are left for others.
  explicit ThreadPool(int num_threads, ThreadPlacement placement = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Starts workers up to a team of `num_threads`, in the same way. No loop may be running.
  void Grow(int num_threads);

  int num_threads() const;
  // OK where the team is as large as was asked for; else how many threads there are, and which
  // limit to raise.
  const absl::Status& shortage() const;

  // Puts the calling thread, which is to call Run, into its place. Threads that it starts from then
  // on would run there too, so the engine's are started before.
  void PlaceCaller();

  // Calls body(begin, end) over disjoint ranges that cover [0, count), on all threads, and returns
  // when all are done. Ranges are at least `grain` long but for the last. One caller at a time.
  // What `body` throws is thrown here once all threads are out of the loop.
  void Run(int64_t count, int64_t grain, absl::FunctionRef<void(int64_t begin, int64_t end)> body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_CPU_THREAD_POOL_H_
