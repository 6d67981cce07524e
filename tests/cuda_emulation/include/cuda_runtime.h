// What a .cu file sees of CUDA beyond C++, for the emulation: markers, vectors, a thread's place in
// the grid.
#ifndef SLUICE_TESTS_CUDA_EMULATION_CUDA_RUNTIME_H_
#define SLUICE_TESTS_CUDA_EMULATION_CUDA_RUNTIME_H_

#include <math.h>
#include <stdint.h>

#include <functional>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  explicit dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  unsigned x, y, z;
};
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

// Of the thread that runs; the emulation sets them.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

// Puts a grid into the stream's queue; `thread` is what each thread runs.
cudaError_t EmulatedLaunch(std::function<void()> thread, dim3 grid, dim3 block, size_t shared_bytes,
                           cudaStream_t stream);

#endif  // SLUICE_TESTS_CUDA_EMULATION_CUDA_RUNTIME_H_
