// What becomes of a product before it is stored (docs/arithmetic.md); for kernels only.
#ifndef SLUICE_KERNELS_CUDA_EPILOGUE_H_
#define SLUICE_KERNELS_CUDA_EPILOGUE_H_

#include "kernels/cuda/device_math.h"
#include "kernels/cuda/matmul.h"

namespace sluice::cuda {

// Epilogue of kernels/ops.h as its numbers; cuda_ops.cc asserts that they agree.
inline constexpr int kStore = 0, kAdd = 1, kSwiGlu = 2, kMultiply = 3;

// A product and, with kSwiGlu, that of the up tile, for one row of the matrix and one token.
__device__ __forceinline__ void Finish(const MatMulJob& job, int64_t row, int64_t token, float y,
                                       float up) {
  if (row >= job.matrix_rows || token >= job.num_tokens) return;
  float* const out = job.out + token * job.out_stride + row;
  if (job.addend != nullptr) y = y + job.addend[row];
  switch (job.epilogue) {
    case kStore:
      *out = y;
      break;
    case kAdd:
      *out = *out + y;
      break;
    case kSwiGlu:
      if (job.up_addend != nullptr) up = up + job.up_addend[row];
      *out = Silu(y) * up;
      break;
    case kMultiply:
      *out = Silu(*out) * y;
      break;
  }
}

// Tiles that a product of one tile's rows reads: gate and up, or one.
__device__ __forceinline__ int TilesEach(const MatMulJob& job) {
  return job.epilogue == kSwiGlu ? 2 : 1;
}

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_EPILOGUE_H_
