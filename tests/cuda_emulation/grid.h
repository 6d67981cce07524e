// Runs a grid: blocks one after the other in an order of chance, the threads of a block as fibers,
// each as far as it comes before it has to wait for others, in an order of chance.
//
// What the order hides on a GPU shows here: a thread that reads shared memory without a barrier
// sees noise or an older value under some seed, and one warp's lanes do not run in step. These are
// faults, and end the grid: threads of a warp that exchange at different places, or of a block that
// wait at different barriers; a barrier or an exchange that some threads never reach; more shared
// memory than was asked for; shared memory touched outside an array (by AddressSanitizer at once,
// else found when the block ends).
#ifndef SLUICE_TESTS_CUDA_EMULATION_GRID_H_
#define SLUICE_TESTS_CUDA_EMULATION_GRID_H_

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/cuda_emulation/fiber.h"
#include "tests/cuda_emulation/red_zone.h"

namespace sluice::cuda_emulation {

inline constexpr int kLanes = 32;

// What the 32 lanes of a warp bring to something that they do together.
struct Exchange {
  const char* name;
  int line;             // of the caller; the same in all lanes, as the name is
  void* share[kLanes];  // each lane's operands and result, on its own stack
  int arrived = 0;
};

class Grid {
 public:
  Grid();

  // Runs all threads. Returns what went wrong, or "". One grid at a time.
  std::string Run(const std::function<void()>& thread, dim3 grid, dim3 block, size_t shared_bytes,
                  std::mt19937& random);

  // For the thread that runs (defined in execution.cc as the functions of kernels/cuda/ptx.h).
  // Waits for the warp's 32 lanes; the last one calls `combine` with all shares, in order of lane.
  void Together(const char* name, int line, void* share, void (*combine)(void* const* shares));
  void Barrier(int line);
  void* Shared(int64_t offset, int64_t bytes, int index);

  // Of the grid that runs.
  static Grid& Current();

 private:
  struct Thread {
    Fiber fiber;
    uint3 index;
    int number;  // in the block
  };

  void RunBlock(const std::function<void()>& thread, dim3 block, size_t shared_bytes,
                std::mt19937& random);
  void Wait();
  void Fault(std::string fault);
  std::string WhoWaits() const;

  std::vector<std::unique_ptr<Thread>> threads_;  // as many as the largest block had
  int num_threads_ = 0;
  Thread* running_ = nullptr;
  std::vector<int> ready_;
  std::vector<Exchange> exchanges_;  // a warp each
  int barrier_line_ = 0;
  int barrier_arrived_ = 0;
  std::vector<std::unique_ptr<RedZoned>> arrays_;  // of shared memory
  std::vector<int64_t> offsets_;
  size_t shared_bytes_ = 0;
  std::mt19937* random_ = nullptr;
  std::string fault_;
};

}  // namespace sluice::cuda_emulation

#endif  // SLUICE_TESTS_CUDA_EMULATION_GRID_H_
