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
#include "kernels/cuda/epilogue.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matmul.h"

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

constexpr int kMaxWarps = 8;
constexpr int64_t kSegmentQuads = 256;

// Grid: (tiles or pairs, tokens / kTokens).
template <class Weights, int kTokens>
__global__ void __launch_bounds__(kMaxWarps* kWarpLanes) FmaKernel(const MatMulJob job) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  const int num_warps = static_cast<int>(blockDim.x) / kWarpLanes;
  const int row = lane % 16;
  const int half = lane / 16;
  const int64_t first_token = static_cast<int64_t>(blockIdx.y) * kTokens;
  const int64_t num_quads = (job.k + 3) / 4;
  const int64_t num_segments = (num_quads + kSegmentQuads - 1) / kSegmentQuads;
  const int tiles_each = TilesEach(job);

  const float* x[kTokens];
#pragma unroll
  for (int token = 0; token < kTokens; ++token) {
    // Beyond the last token the last one is computed again, and not stored.
    const int64_t at =
        first_token + token < job.num_tokens ? first_token + token : job.num_tokens - 1;
    x[token] =
        reinterpret_cast<const float*>(job.activations + at * job.activation_stride) + 2 * half;
  }

  SharedMemory shared;
  float* const sums = shared.Take<float>(tiles_each * num_segments * kTokens * 16);

  for (int part = 0; part < tiles_each; ++part) {
    const uint8_t* const tile =
        job.tiles + (static_cast<int64_t>(blockIdx.x) * tiles_each + part) * job.tile_bytes;
    for (int64_t segment = warp; segment < num_segments; segment += num_warps) {
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
        if (half == 0)
          sums[((part * num_segments + segment) * kTokens + token) * 16 + row] = sum + other;
      }
    }
  }
  SyncBlock();

  for (int i = static_cast<int>(threadIdx.x); i < 16 * kTokens; i += static_cast<int>(blockDim.x)) {
    float totals[2] = {};
    for (int part = 0; part < tiles_each; ++part) {
      float total = 0.0f;
      for (int64_t segment = 0; segment < num_segments; ++segment) {
        total = total + sums[(part * num_segments + segment) * kTokens * 16 + i];
      }
      totals[part] = total;
    }
    Finish(job, job.first_row + static_cast<int64_t>(blockIdx.x) * 16 + i % 16,
           first_token + i / 16, totals[0], totals[1]);
  }
}

template <class Weights, int kTokens>
cudaError_t LaunchTokens(const MatMulJob& job, cudaStream_t stream) {
  const int64_t segments = (job.k + 1023) / 1024;
  const int tiles_each = job.epilogue == kSwiGlu ? 2 : 1;
  LaunchShape shape = {.blocks_x = job.num_tiles, .threads = kMaxWarps * kWarpLanes};
  shape.blocks_y = (job.num_tokens + kTokens - 1) / kTokens;
  if (segments < kMaxWarps) shape.threads = static_cast<int>(segments) * kWarpLanes;
  shape.shared_bytes = SharedBytes<float>(tiles_each * segments * kTokens * 16);
  return Launch(FmaKernel<Weights, kTokens>, shape, job, stream);
}

}  // namespace

template <class Weights>
cudaError_t LaunchFma(const MatMulJob& job, cudaStream_t stream) {
  if (job.num_tokens == 1) return LaunchTokens<Weights, 1>(job, stream);
  return LaunchTokens<Weights, 8>(job, stream);
}

template cudaError_t LaunchFma<F32Weights>(const MatMulJob&, cudaStream_t);
template cudaError_t LaunchFma<F16Weights>(const MatMulJob&, cudaStream_t);
template cudaError_t LaunchFma<BF16Weights>(const MatMulJob&, cudaStream_t);

}  // namespace sluice::cuda
