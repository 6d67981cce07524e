// Products of f16 and bf16 weights with activations rounded to the weights' type, on tensor cores:
// what --fast-math asks for. docs/arithmetic.md defines them as far as a device's rounding allows.
//
// A tile's words are registers of the A fragment of mma.m16n8k16: 8 lines of 64 bytes are its 16
// columns, and rows 2g and 2g + 1 of the tile, side by side, stand in for rows g and g + 8 of the
// fragment, so that a lane loads both at once and a warp 256 bytes in a row. However many tokens
// there are, an element's chain is one mma after the other along a segment of 1,024 values, and the
// segments' sums in order: both kernels give the same bits.
#include "kernels/cuda/decoders.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/segments.h"

namespace sluice::cuda {

struct RoundedF16 {
  __device__ static void Mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    MmaF16(c, a, b);
  }
};
struct RoundedBF16 {
  __device__ static void Mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    MmaBF16(c, a, b);
  }
};

namespace {

constexpr int kStepLines = 8;  // of one mma, 16 values
constexpr int kSegmentSteps = kSegmentValues / 16;

// Lines of a tile: pairs of values, K padded to a multiple of 4.
__device__ __forceinline__ int64_t LinesOf(int64_t k) { return (k + 3) / 4 * 2; }

// Value i of a lane's share of C: these of 16 rows and of 8 tokens.
__device__ __forceinline__ int RowOf(int g, int i) { return 2 * g + i / 2; }
__device__ __forceinline__ int TokenOf(int t, int i) { return 2 * t + i % 2; }

// The A fragment of one step. Where not kWhole, lines from `num_lines` on, which the tile does not
// have, are zeros.
template <bool kWhole>
__device__ __forceinline__ void LoadStep(const uint8_t* tile, int64_t step, int64_t num_lines,
                                         int g, int t, uint32_t (&a)[4]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int64_t line = kStepLines * step + 4 * i + t;
    a[2 * i] = a[2 * i + 1] = 0;
    if (kWhole || line < num_lines)
      LoadWeights(tile + line * kLineBytes + 8 * g, a[2 * i], a[2 * i + 1]);
  }
}

// Few tokens: 8 a block, whose warps share out the segments. Weights pass once through registers,
// activations come from the caches. Bound by the bandwidth of the weights.
constexpr int kFewTokens = 8;
constexpr int kFewAtOnce = 8;  // steps whose loads are in flight together

template <class Type>
__global__ void __launch_bounds__(kSegmentThreads) RoundedFewKernel(const MatMulJob job) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  const int num_warps = static_cast<int>(blockDim.x) / kWarpLanes;
  const int g = lane / 4;
  const int t = lane % 4;
  const int64_t num_lines = LinesOf(job.k);
  const int64_t num_steps = (num_lines + kStepLines - 1) / kStepLines;
  const int tiles_each = TilesEach(job);
  const auto* const x =
      reinterpret_cast<const uint32_t*>(SegmentActivations<kFewTokens>(job, g)) + t;
  SegmentSums<kFewTokens> sums(job);

  for (int part = 0; part < tiles_each; ++part) {
    const uint8_t* const tile =
        job.tiles + (static_cast<int64_t>(blockIdx.x) * tiles_each + part) * job.tile_bytes;
    for (int64_t segment = warp; segment < SegmentsOf(job.k); segment += num_warps) {
      float acc[4] = {};
      int64_t step = segment * kSegmentSteps;
      const int64_t end = step + kSegmentSteps < num_steps ? step + kSegmentSteps : num_steps;
#pragma unroll 1
      for (; step + kFewAtOnce <= end && kStepLines * (step + kFewAtOnce) <= num_lines;
           step += kFewAtOnce) {
        uint32_t a[kFewAtOnce][4];
        uint32_t b[kFewAtOnce][2];
#pragma unroll
        for (int i = 0; i < kFewAtOnce; ++i) {
          LoadStep<true>(tile, step + i, num_lines, g, t, a[i]);
          b[i][0] = x[kStepLines * (step + i)];
          b[i][1] = x[kStepLines * (step + i) + 4];
        }
#pragma unroll
        for (int i = 0; i < kFewAtOnce; ++i) Type::Mma(acc, a[i], b[i]);
      }
#pragma unroll 1
      for (; step < end; ++step) {  // what is left of a row
        uint32_t a[4];
        LoadStep<false>(tile, step, num_lines, g, t, a);
        const uint32_t b[2] = {x[kStepLines * step], x[kStepLines * step + 4]};
        Type::Mma(acc, a, b);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) sums.At(part, segment, TokenOf(t, i), RowOf(g, i)) = acc[i];
    }
  }
  sums.Finish(job);
}

// Many tokens: a block of four warps has 64 tokens, each warp two tiles (a gate and its up with
// kSwiGlu), and walks all of K. The block stages its tokens' activations of 128 values in shared
// memory, the next ones while it computes with these; weights come straight from global memory, and
// each meets 64 tokens in registers. Bound by tensor cores and by what feeds them B fragments from
// shared memory: a word a lane for each mma.
constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpLanes;
constexpr int kWarpTiles = 2;
constexpr int kTokens = 64;
constexpr int kTokenTiles = kTokens / 8;
constexpr int kChunkSteps = 8;
constexpr int kChunkBytes = kChunkSteps * 32;
// From one token's staged values to the next: 68 words, so that the 8 tokens x 4 words of a B
// fragment lie in 32 different banks.
constexpr int kStagedBytes = kChunkBytes + 16;
constexpr int kPieces = kChunkBytes / 16;
constexpr int kProducts = kTokens * 16;  // of a tile
static_assert(kWarps * kWarpTiles * kProducts * sizeof(float) <= 2 * kTokens * kStagedBytes);

// Copies the 64 tokens' values of chunk `chunk`; tokens beyond the last, and values beyond K, are
// zeros.
__device__ __forceinline__ void StageRounded(const MatMulJob& job, int64_t first_token,
                                             int64_t chunk, uint8_t* staged) {
  for (int i = static_cast<int>(threadIdx.x); i < kTokens * kPieces; i += kThreads) {
    const int64_t token = first_token + i / kPieces;
    const int64_t at = chunk * kChunkBytes + i % kPieces * 16;
    uint4 value = {0, 0, 0, 0};
    if (token < job.num_tokens && at < job.activation_stride) {
      value = *reinterpret_cast<const uint4*>(job.activations + token * job.activation_stride + at);
    }
    *reinterpret_cast<uint4*>(staged + i / kPieces * kStagedBytes + i % kPieces * 16) = value;
  }
}

// Continues the chains with up to kChunkSteps steps of K: [tile][token tile][value of C].
template <class Type, bool kWhole>
__device__ __forceinline__ void AddChunk(const uint8_t* const (&tiles)[kWarpTiles], int64_t chunk,
                                         int64_t num_lines, const uint8_t* staged, int g, int t,
                                         float (&acc)[kWarpTiles][kTokenTiles][4]) {
  const auto* const x = reinterpret_cast<const uint32_t*>(staged + g * kStagedBytes) + t;
#pragma unroll 2
  for (int i = 0; i < kChunkSteps; ++i) {
    const int64_t step = chunk * kChunkSteps + i;
    if (!kWhole && kStepLines * step >= num_lines) break;
    uint32_t a[kWarpTiles][4];
#pragma unroll
    for (int tile = 0; tile < kWarpTiles; ++tile)
      LoadStep<kWhole>(tiles[tile], step, num_lines, g, t, a[tile]);
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      const uint32_t* const words = x + n * 8 * (kStagedBytes / 4) + kStepLines * i;
      const uint32_t b[2] = {words[0], words[4]};
#pragma unroll
      for (int tile = 0; tile < kWarpTiles; ++tile) Type::Mma(acc[tile][n], a[tile], b);
    }
  }
}

// Grid: (tiles, gate and up counted, / 8, tokens / 64).
template <class Type>
__global__ void __launch_bounds__(kThreads, 2) RoundedManyKernel(const MatMulJob job) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  const int g = lane / 4;
  const int t = lane % 4;
  const int tiles_each = TilesEach(job);
  const int64_t num_tiles = job.num_tiles * tiles_each;
  const int64_t first_tile = (static_cast<int64_t>(blockIdx.x) * kWarps + warp) * kWarpTiles;
  const int64_t first_token = static_cast<int64_t>(blockIdx.y) * kTokens;
  const int64_t num_lines = LinesOf(job.k);
  const int64_t num_chunks =
      (num_lines + kChunkSteps * kStepLines - 1) / (kChunkSteps * kStepLines);

  SharedMemory shared;
  uint8_t* const even = shared.Take<uint8_t>(2 * kTokens * kStagedBytes);
  uint8_t* const odd = even + kTokens * kStagedBytes;

  const uint8_t* tiles[kWarpTiles];
#pragma unroll
  for (int tile = 0; tile < kWarpTiles; ++tile) {
    // Beyond the last tile the one before is computed again, and not stored.
    const int64_t wanted = first_tile + tile < num_tiles ? first_tile + tile : num_tiles - 1;
    tiles[tile] = job.tiles + wanted * job.tile_bytes;
  }
  float acc[kWarpTiles][kTokenTiles][4] = {};
  float total[kWarpTiles][kTokenTiles][4] = {};
  StageRounded(job, first_token, 0, even);
  for (int64_t chunk = 0; chunk < num_chunks; ++chunk) {
    // This chunk is staged, and nobody reads the one before it any more.
    SyncBlock();
    if (chunk + 1 < num_chunks) {
      StageRounded(job, first_token, chunk + 1, chunk % 2 == 0 ? odd : even);
    }
    if (first_tile >= num_tiles) continue;
    const uint8_t* const staged = chunk % 2 == 0 ? even : odd;
    if ((chunk + 1) * kChunkSteps * kStepLines <= num_lines) {
      AddChunk<Type, true>(tiles, chunk, num_lines, staged, g, t, acc);
    } else {
      AddChunk<Type, false>(tiles, chunk, num_lines, staged, g, t, acc);
    }
    if ((chunk + 1) % (kSegmentSteps / kChunkSteps) != 0 && chunk + 1 != num_chunks) continue;
#pragma unroll
    for (int tile = 0; tile < kWarpTiles; ++tile) {
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          total[tile][n][i] = total[tile][n][i] + acc[tile][n][i];
          acc[tile][n][i] = 0.0f;
        }
      }
    }
  }

  // Through shared memory to a loop that is not unrolled, as the quantized products go.
  SyncBlock();  // the last chunk is still read
  float* const products = reinterpret_cast<float*>(even) + warp * kWarpTiles * kProducts;
#pragma unroll
  for (int tile = 0; tile < kWarpTiles; ++tile) {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        products[tile * kProducts + (8 * n + TokenOf(t, i)) * 16 + RowOf(g, i)] = total[tile][n][i];
      }
    }
  }
  SyncBlock();
#pragma unroll 1
  for (int tile = 0; tile < kWarpTiles; tile += tiles_each) {
    if (first_tile + tile >= num_tiles) return;
    const float* const last = products + (tile + tiles_each - 1) * kProducts;
    const int64_t row = job.first_row + (first_tile + tile) / tiles_each * 16;
#pragma unroll 1
    for (int i = lane; i < kProducts; i += kWarpLanes) {
      Finish(job, row + i % 16, first_token + i / 16, products[tile * kProducts + i], last[i]);
    }
  }
}

}  // namespace

template <class Type>
cudaError_t LaunchRoundedFew(const MatMulJob& job, cudaStream_t stream) {
  return LaunchSegments<kFewTokens>(RoundedFewKernel<Type>, job, stream);
}

template <class Type>
cudaError_t LaunchRoundedMany(const MatMulJob& job, cudaStream_t stream) {
  const int64_t tiles = job.num_tiles * (job.epilogue == kSwiGlu ? 2 : 1);
  return Launch(RoundedManyKernel<Type>,
                {.blocks_x = (tiles + kWarps * kWarpTiles - 1) / (kWarps * kWarpTiles),
                 .blocks_y = (job.num_tokens + kTokens - 1) / kTokens,
                 .threads = kThreads,
                 .shared_bytes = SharedBytes<uint8_t>(2 * kTokens * kStagedBytes)},
                job, stream);
}

template cudaError_t LaunchRoundedFew<RoundedF16>(const MatMulJob&, cudaStream_t);
template cudaError_t LaunchRoundedFew<RoundedBF16>(const MatMulJob&, cudaStream_t);
template cudaError_t LaunchRoundedMany<RoundedF16>(const MatMulJob&, cudaStream_t);
template cudaError_t LaunchRoundedMany<RoundedBF16>(const MatMulJob&, cudaStream_t);

}  // namespace sluice::cuda
