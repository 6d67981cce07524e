// From how many tokens on quantized products use tensor cores.
#ifndef SLUICE_KERNELS_CUDA_MMA_CHOICE_H_
#define SLUICE_KERNELS_CUDA_MMA_CHOICE_H_

#include <cstdint>
#include <limits>

#include "absl/status/statusor.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/memory.h"

namespace sluice::cuda {

// Tensor cores work on 32 tokens at a time, and a block of theirs walks all of K.
inline constexpr int64_t kMmaMinTokens = 17;
inline constexpr int64_t kNoMma = std::numeric_limits<int64_t>::max();

// Tokens of the product that is timed: what one block of tensor cores takes.
inline constexpr int64_t kTimedTokens = 32;

// The least tokens for which tensor cores are faster, at least kMmaMinTokens; kNoMma where dp4a is
// not slower for kTimedTokens. `dp4a_s` and `mma_s` are the seconds of such a product by either.
int64_t MmaMinTokens(double dp4a_s, double mma_s);

// Devices of compute capability 7.5 have tensor cores (RTX 20xx, T4) or stand-ins that are slower
// than dp4a (GTX 16xx), and no property says which: there a product is timed both ways, in some MiB
// of device memory that are given back. On all others kMmaMinTokens. The bits of a product are the
// same either way. `device` is that of the calling thread; returns when the work on `stream` is
// done.
absl::StatusOr<int64_t> ChooseMmaMinTokens(const Device& device, const Stream& stream,
                                           DeviceAllocator* allocator);

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_MMA_CHOICE_H_
