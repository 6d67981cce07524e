// Ops on a CUDA device: the second implementation of kernels/ops.h, in the bits of
// docs/arithmetic.md.
#ifndef SLUICE_KERNELS_CUDA_CUDA_OPS_H_
#define SLUICE_KERNELS_CUDA_CUDA_OPS_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/mma_choice.h"
#include "kernels/ops.h"

namespace sluice::cuda {

struct CudaOpsOptions {
  // Products of quantized weights with fewer tokens use dp4a (ChooseMmaMinTokens). Rounded products
  // change kernels at as many.
  int64_t mma_min_tokens = kMmaMinTokens;
  // Of the states of attention's chunks, at most, unless one row has more.
  int64_t attention_scratch_bytes = int64_t{32} << 20;
};

// Calls are queued on `stream` and return before they have run. All pointers given are memory of
// the device; spans, and the page tables in them, are memory of the host and are copied before a
// call returns. Errors of a queued kernel come back from a later call, or from
// stream->Synchronize(). InvalidArgument: K no whole number of blocks, a head_dim that is odd or
// above 256, heads that do not divide among KV heads, a K whose sums do not fit in shared memory
// (docs/cuda.md). MatMulArgs::rounded_activations: CheckRoundsActivations. For one thread.
// `device`, `stream` and `allocator` must outlive it.
absl::StatusOr<std::unique_ptr<Ops>> MakeCudaOps(const Device& device, const Stream* stream,
                                                 DeviceAllocator* allocator,
                                                 const CudaOpsOptions& options = {});

// FailedPrecondition, in a line for the user of --fast-math, if a device of this compute
// capability (90 is 9.0) has no products with rounded activations.
absl::Status CheckRoundsActivations(int compute_capability);

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_CUDA_OPS_H_
