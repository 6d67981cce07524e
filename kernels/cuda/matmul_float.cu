// Products of floating-point weights: f32 fma in the order of docs/arithmetic.md, so the CPU's
// bits.
//
// A block has one tile of 16 rows (two with kSwiGlu) and up to kTokens tokens. Its warps share out
// the segments of 1,024 values; in a warp, lane r and lane 16 + r have row r, and two of the
// segment's four chains each: of every four values the lower lanes take the first two, the upper
// lanes the others. A warp's load is 128 bytes of two lines side by side. One token is bound by
// bandwidth; many tokens by f32 fma and by the loads of activations that feed it. Tensor cores are
// not used: they round otherwise.
#include "kernels/cuda/decoders.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/segments.h"

namespace sluice::cuda {

// Each: the weights of values 4 quad + 2 half and the next one of a row.
struct F32Weights {
  __device__ static void Pair(const uint8_t* tile, int64_t quad, int half, int row, float& first,
                              float& second) {
    const uint8_t* const lines = tile + (4 * quad + 2 * half) * kLineBytes + 4 * row;
    first = FloatOf(LoadWeights(lines));
    second = FloatOf(LoadWeights(lines + kLineBytes));
  }
};
struct F16Weights {
  __device__ static void Pair(const uint8_t* tile, int64_t quad, int half, int row, float& first,
                              float& second) {
    const uint32_t word = LoadWeights(tile + (2 * quad + half) * kLineBytes + 4 * row);
    first = F16ToF32(static_cast<uint16_t>(word & 0xFFFFu));
    second = F16ToF32(static_cast<uint16_t>(word >> 16));
  }
};
struct BF16Weights {
  __device__ static void Pair(const uint8_t* tile, int64_t quad, int half, int row, float& first,
                              float& second) {
    const uint32_t word = LoadWeights(tile + (2 * quad + half) * kLineBytes + 4 * row);
    first = FloatOf(word << 16);
    second = FloatOf(word & 0xFFFF0000u);
  }
};

namespace {

constexpr int64_t kSegmentQuads = kSegmentValues / 4;

// Grid: (tiles or pairs, tokens / kTokens).
template <class Weights, int kTokens>
__global__ void __launch_bounds__(kSegmentThreads) FmaKernel(const MatMulJob job) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  const int num_warps = static_cast<int>(blockDim.x) / kWarpLanes;
  const int row = lane % 16;
  const int half = lane / 16;
  const int64_t num_quads = (job.k + 3) / 4;
  const int tiles_each = TilesEach(job);

  const float* x[kTokens];
#pragma unroll
  for (int token = 0; token < kTokens; ++token) {
    x[token] = reinterpret_cast<const float*>(SegmentActivations<kTokens>(job, token)) + 2 * half;
  }
  SegmentSums<kTokens> sums(job);

  for (int part = 0; part < tiles_each; ++part) {
    const uint8_t* const tile =
        job.tiles + (static_cast<int64_t>(blockIdx.x) * tiles_each + part) * job.tile_bytes;
    for (int64_t segment = warp; segment < SegmentsOf(job.k); segment += num_warps) {
      float chains[kTokens][2] = {};
      const int64_t begin = segment * kSegmentQuads;
      const int64_t end = begin + kSegmentQuads < num_quads ? begin + kSegmentQuads : num_quads;
#pragma unroll 4
      for (int64_t quad = begin; quad < end; ++quad) {
        float first, second;
        Weights::Pair(tile, quad, half, row, first, second);
#pragma unroll
        for (int token = 0; token < kTokens; ++token) {
          const float2 pair = *reinterpret_cast<const float2*>(x[token] + 4 * quad);
          chains[token][0] = fmaf(first, pair.x, chains[token][0]);
          chains[token][1] = fmaf(second, pair.y, chains[token][1]);
        }
      }
#pragma unroll
      for (int token = 0; token < kTokens; ++token) {
        const float sum = chains[token][0] + chains[token][1];
        const float other = ShuffleXor(sum, 16);
        if (half == 0) sums.At(part, segment, token, row) = sum + other;
      }
    }
  }
  sums.Finish(job);
}

}  // namespace

template <class Weights>
cudaError_t LaunchFma(const MatMulJob& job, cudaStream_t stream) {
  if (job.num_tokens == 1) return LaunchSegments<1>(FmaKernel<Weights, 1>, job, stream);
  return LaunchSegments<8>(FmaKernel<Weights, 8>, job, stream);
}

#define SLUICE_FLOAT_ENCODING(name, ...) \
  template cudaError_t LaunchFma<name##Weights>(const MatMulJob&, cudaStream_t);
#define SLUICE_QUANTIZED_ENCODING(...)
#include "kernels/encodings/encodings.def"

}  // namespace sluice::cuda
