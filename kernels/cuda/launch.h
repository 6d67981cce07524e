// Every kernel is launched here: one plain struct of arguments, one stream, the error returned.
#ifndef SLUICE_KERNELS_CUDA_LAUNCH_H_
#define SLUICE_KERNELS_CUDA_LAUNCH_H_

#include <cuda_runtime.h>
#include <stdint.h>

namespace sluice::cuda {

struct LaunchShape {
  int64_t blocks_x;      // up to 2^31 - 1
  int64_t blocks_y = 1;  // up to 65535, as z
  int64_t blocks_z = 1;
  int threads;
  int64_t shared_bytes = 0;  // dynamic, up to kMaxSharedBytes
};

// What every device gives a block without being asked for more.
inline constexpr int64_t kMaxSharedBytes = 48 << 10;

// cudaErrorInvalidConfiguration where the shape is beyond the device's limits. Nothing to do is no
// launch.
template <typename Job>
cudaError_t Launch(void (*kernel)(Job), const LaunchShape& shape, const Job& job,
                   cudaStream_t stream) {
  if (shape.blocks_x <= 0 || shape.blocks_y <= 0 || shape.blocks_z <= 0) return cudaSuccess;
  if (shape.blocks_x > INT32_MAX || shape.blocks_y > 65535 || shape.blocks_z > 65535 ||
      shape.shared_bytes > kMaxSharedBytes) {
    return cudaErrorInvalidConfiguration;
  }
  const dim3 grid(static_cast<unsigned>(shape.blocks_x), static_cast<unsigned>(shape.blocks_y),
                  static_cast<unsigned>(shape.blocks_z));
  const dim3 block(static_cast<unsigned>(shape.threads));
#if defined(__CUDACC__)
  void* arguments[] = {const_cast<Job*>(&job)};
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, arguments,
                          static_cast<size_t>(shape.shared_bytes), stream);
#else
  return EmulatedLaunch([kernel, job] { kernel(job); }, grid, block,
                        static_cast<size_t>(shape.shared_bytes), stream);
#endif
}

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_LAUNCH_H_
