// What kernels whose warps share out the segments of K have in common: how they are launched, which
// tokens a block has, and how its sums are added; for kernels only.
//
// A block has one tile of 16 rows (two with kSwiGlu) and up to kTokens tokens. Each of its warps
// takes every num_warps-th segment of 1,024 values, and leaves that segment's sums in shared
// memory. When all are there they are added in order of K, so that the warps' number changes no
// bit.
#ifndef SLUICE_KERNELS_CUDA_SEGMENTS_H_
#define SLUICE_KERNELS_CUDA_SEGMENTS_H_

#include "kernels/cuda/epilogue.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/ptx.h"

namespace sluice::cuda {

inline constexpr int kSegmentValues = 1024;
inline constexpr int kSegmentWarps = 8;  // at most
inline constexpr int kSegmentThreads = kSegmentWarps * kWarpLanes;

__host__ __device__ constexpr int64_t SegmentsOf(int64_t k) {
  return (k + kSegmentValues - 1) / kSegmentValues;
}

// A block's token number `token`. Beyond the last token the last one is computed again, and not
// stored.
template <int kTokens>
__device__ __forceinline__ const uint8_t* SegmentActivations(const MatMulJob& job, int token) {
  const int64_t wanted = static_cast<int64_t>(blockIdx.y) * kTokens + token;
  return job.activations +
         (wanted < job.num_tokens ? wanted : job.num_tokens - 1) * job.activation_stride;
}

// The block's sums, [tile][segment][token][row], in its shared memory. Every thread makes one.
template <int kTokens>
class SegmentSums {
 public:
  __device__ explicit SegmentSums(const MatMulJob& job) : num_segments_(SegmentsOf(job.k)) {
    SharedMemory shared;
    sums_ = shared.Take<float>(TilesEach(job) * num_segments_ * kTokens * 16);
  }
  // Of one segment of the block's first tile (`part` 0) or second.
  __device__ float& At(int part, int64_t segment, int token, int row) {
    return sums_[((part * num_segments_ + segment) * kTokens + token) * 16 + row];
  }
  // Waits for all sums, and finishes the products. The whole block calls it.
  __device__ void Finish(const MatMulJob& job) {
    SyncBlock();
    for (int i = static_cast<int>(threadIdx.x); i < 16 * kTokens;
         i += static_cast<int>(blockDim.x)) {
      float totals[2] = {};
      for (int part = 0; part < TilesEach(job); ++part) {
        float total = 0.0f;
        for (int64_t segment = 0; segment < num_segments_; ++segment) {
          total = total + sums_[(part * num_segments_ + segment) * kTokens * 16 + i];
        }
        totals[part] = total;
      }
      cuda::Finish(job, job.first_row + static_cast<int64_t>(blockIdx.x) * 16 + i % 16,
                   static_cast<int64_t>(blockIdx.y) * kTokens + i / 16, totals[0], totals[1]);
    }
  }

 private:
  int64_t num_segments_;
  float* sums_;
};

// Grid: (tiles or pairs, tokens / kTokens).
template <int kTokens>
cudaError_t LaunchSegments(void (*kernel)(MatMulJob), const MatMulJob& job, cudaStream_t stream) {
  const int64_t segments = SegmentsOf(job.k);
  const int tiles_each = job.epilogue == kSwiGlu ? 2 : 1;
  const int64_t warps = segments < kSegmentWarps ? segments : kSegmentWarps;
  return Launch(kernel,
                {.blocks_x = job.num_tiles,
                 .blocks_y = (job.num_tokens + kTokens - 1) / kTokens,
                 .threads = static_cast<int>(warps) * kWarpLanes,
                 .shared_bytes = SharedBytes<float>(tiles_each * segments * kTokens * 16)},
                job, stream);
}

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_SEGMENTS_H_
