// Products of quantized weights for few tokens: weights pass once through registers, dp4a does the
// rest.
//
// A block has one tile of 16 rows (two with kSwiGlu) and up to kTokens tokens. Its warps share out
// the segments of K; in a warp, lane r and lane 16 + r have row r, and take turns: the even and the
// odd chunks of 256 values or, where each block of 32 has its own terms of the chain and those of a
// chunk would need too many registers, the halves of each chunk. A half-warp's load is a line of a
// plane, 64 bytes on 64; its activations are the same 16 bytes for all its lanes. Sums are exact
// integers, so each lane has its own; only the few terms of the chain (docs/arithmetic.md) are
// added one half after the other, and segments in order through shared memory. Bound by the
// bandwidth of the weights for one token, by dp4a from about 8 on.
#include "kernels/cuda/decoders.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/segments.h"
#include "kernels/encodings/activation_layout.h"

namespace sluice::cuda {
namespace {

struct Words4 {
  uint32_t words[4];
};
// 16 bytes on 16.
__device__ __forceinline__ Words4 LoadWords4(const int8_t* quants) {
  const uint4 value = *reinterpret_cast<const uint4*>(quants);
  return {{value.x, value.y, value.z, value.w}};
}

// A turn's terms of the chain, of one row and one token: acc = fma(a, b, acc), in order.
template <class Decoder, Sums = Decoder::kSums>
struct Terms;

constexpr int kTurnBlocks = kChunkBlocks / 2;

template <class Decoder>
struct Terms<Decoder, Sums::kBlocks> {
  static constexpr int kEach = Decoder::kMinima ? 2 : 1;
  static constexpr int kTurns = kSegmentChunks;  // in a segment
  float a[kTurnBlocks][kEach];
  float b[kTurnBlocks][kEach];
  __device__ static int64_t ChunkOf(int turn, int) { return turn; }
  __device__ static int FirstBlock(int half) { return kTurnBlocks * half; }
  __device__ float Chain(int blocks, float acc) const {
#pragma unroll
    for (int block = 0; block < kTurnBlocks; ++block) {
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        if (block < blocks) acc = fmaf(a[block][i], b[block][i], acc);
      }
    }
    return acc;
  }
};

template <class Decoder>
struct Terms<Decoder, Sums::kSuperBlock> {
  static constexpr int kTurns = kSegmentChunks / 2;
  float a[2];
  float b[2];
  __device__ static int64_t ChunkOf(int turn, int half) { return 2 * turn + half; }
  __device__ static int FirstBlock(int) { return 0; }
  __device__ float Chain(int blocks, float acc) const {
    if (blocks <= 0) return acc;
    acc = fmaf(a[0], b[0], acc);
    if constexpr (Decoder::kMinima) acc = fmaf(a[1], b[1], acc);
    return acc;
  }
};

template <class Decoder>
struct Terms<Decoder, Sums::kScaledBlocks> {
  static constexpr int kTurns = kSegmentChunks / 2;
  float a;
  float b;
  __device__ static int64_t ChunkOf(int turn, int half) { return 2 * turn + half; }
  __device__ static int FirstBlock(int) { return 0; }
  __device__ float Chain(int blocks, float acc) const {
    return blocks <= 0 ? acc : fmaf(a, b, acc);
  }
};

// Sums over one block of 32, of each of its sub-blocks.
template <class Decoder, int kTokens>
__device__ __forceinline__ void DotBlock(const typename Decoder::Chunk& chunk, int block, int row,
                                         const int8_t* const (&quants)[kTokens],
                                         int32_t (&isum)[kTokens][32 / Decoder::kSubBlockValues]) {
  uint32_t low[4], high[4];
#pragma unroll
  for (int line = 0; line < 4; ++line)
    Decoder::Quads(chunk, block, line, row, low[line], high[line]);
#pragma unroll
  for (int token = 0; token < kTokens; ++token) {
    const Words4 x_low = LoadWords4(quants[token] + 32 * block);
    const Words4 x_high = LoadWords4(quants[token] + 32 * block + 16);
    int32_t first = 0;
#pragma unroll
    for (int line = 0; line < 4; ++line) first = Dp4a(low[line], x_low.words[line], first);
    int32_t second = Decoder::kSubBlockValues == 32 ? first : 0;
#pragma unroll
    for (int line = 0; line < 4; ++line) second = Dp4a(high[line], x_high.words[line], second);
    isum[token][0] = Decoder::kSubBlockValues == 32 ? second : first;
    if constexpr (Decoder::kSubBlockValues == 16) isum[token][1] = second;
  }
}

template <class Decoder, int kTokens>
__device__ __forceinline__ void TurnTerms(const typename Decoder::Chunk& chunk, int first_block,
                                          int row, const uint8_t* const (&groups)[kTokens],
                                          Terms<Decoder> (&terms)[kTokens]) {
  const int8_t* quants[kTokens];
#pragma unroll
  for (int token = 0; token < kTokens; ++token)
    quants[token] = reinterpret_cast<const int8_t*>(groups[token]);
  if constexpr (Decoder::kSums == Sums::kBlocks) {
#pragma unroll
    for (int i = 0; i < kTurnBlocks; ++i) {
      // Beyond a row's last block that one is computed again, and not added: a branch would keep
      // loads of one block from starting before the products of another.
      const int block = first_block + i < chunk.blocks ? first_block + i : chunk.blocks - 1;
      int32_t isum[kTokens][1];
      DotBlock<Decoder>(chunk, block, row, quants, isum);
      const float scale = Decoder::Scale(chunk, block, row);
      const int32_t offset = Decoder::Offset(chunk, block, row);
      float min_scale = 0.0f;
      if constexpr (Decoder::kMinima) min_scale = Decoder::Min(chunk, block, row);
#pragma unroll
      for (int token = 0; token < kTokens; ++token) {
        const auto* group = reinterpret_cast<const ActivationGroup32*>(groups[token]);
        const int32_t minus_sum = group->minus_sums[block];
        terms[token].a[i][0] = static_cast<float>(isum[token][0] + offset * minus_sum);
        terms[token].b[i][0] = scale * group->scales[block];
        if constexpr (Decoder::kMinima) {
          terms[token].a[i][1] = static_cast<float>(-minus_sum);
          terms[token].b[i][1] = min_scale * group->scales[block];
        }
      }
    }
  } else if constexpr (Decoder::kSums == Sums::kScaledBlocks) {
    constexpr int kEach = 32 / Decoder::kSubBlockValues;
    const typename Decoder::Factors factors = Decoder::LoadFactors(chunk, row);
    float sums[kTokens] = {};
#pragma unroll
    for (int block = 0; block < kChunkBlocks; ++block) {
      int32_t isum[kTokens][kEach];
      DotBlock<Decoder>(chunk, block, row, quants, isum);
#pragma unroll
      for (int token = 0; token < kTokens; ++token) {
        const auto* group = reinterpret_cast<const ActivationGroup32*>(groups[token]);
        int32_t scaled = 0;
#pragma unroll
        for (int i = 0; i < kEach; ++i) {
          const int s = kEach * block + i;
          scaled += Decoder::Factor(factors, s) *
                    (isum[token][i] + Decoder::kOffset * group->minus_sums16[s]);
        }
        sums[token] = fmaf(static_cast<float>(scaled), group->scales[block], sums[token]);
      }
    }
#pragma unroll
    for (int token = 0; token < kTokens; ++token) {
      terms[token].a = sums[token];
      terms[token].b = Decoder::D(chunk, row);
    }
  } else {
    constexpr int kEach = 32 / Decoder::kSubBlockValues;
    const typename Decoder::Factors factors = Decoder::LoadFactors(chunk, row);
    int32_t scaled[kTokens] = {};
    int32_t minima[kTokens] = {};
#pragma unroll
    for (int block = 0; block < kChunkBlocks; ++block) {
      int32_t isum[kTokens][kEach];
      DotBlock<Decoder>(chunk, block, row, quants, isum);
#pragma unroll
      for (int token = 0; token < kTokens; ++token) {
        const auto* group = reinterpret_cast<const ActivationGroup256*>(groups[token]);
        const int16_t* const sums = kEach == 1 ? group->sums32 : group->sums16;
#pragma unroll
        for (int i = 0; i < kEach; ++i) {
          const int s = kEach * block + i;
          const int32_t sum = Decoder::kOffset != 0 || Decoder::kMinima ? sums[SumPlace(s)] : 0;
          scaled[token] += Decoder::Factor(factors, s) * (isum[token][i] - Decoder::kOffset * sum);
          if constexpr (Decoder::kMinima) minima[token] += Decoder::Minimum(factors, s) * sum;
        }
      }
    }
#pragma unroll
    for (int token = 0; token < kTokens; ++token) {
      const float scale = reinterpret_cast<const ActivationGroup256*>(groups[token])->scale;
      terms[token].a[0] = static_cast<float>(scaled[token]);
      terms[token].b[0] = Decoder::D(chunk, row) * scale;
      if constexpr (Decoder::kMinima) {
        terms[token].a[1] = -static_cast<float>(minima[token]);
        terms[token].b[1] = Decoder::DMin(chunk, row) * scale;
      }
    }
  }
}

// Grid: (tiles or pairs, tokens / kTokens).
template <class Decoder, int kTokens>
__global__ void __launch_bounds__(kSegmentThreads) Dp4aKernel(const MatMulJob job) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  const int num_warps = static_cast<int>(blockDim.x) / kWarpLanes;
  const int row = lane % 16;
  const int half = lane / 16;
  const int64_t num_chunks = (job.k + kChunkValues - 1) / kChunkValues;
  const int tiles_each = TilesEach(job);

  const uint8_t* activations[kTokens];
#pragma unroll
  for (int token = 0; token < kTokens; ++token)
    activations[token] = SegmentActivations<kTokens>(job, token);
  SegmentSums<kTokens> sums(job);

  for (int part = 0; part < tiles_each; ++part) {
    const uint8_t* const tile =
        job.tiles + (static_cast<int64_t>(blockIdx.x) * tiles_each + part) * job.tile_bytes;
    for (int64_t segment = warp; segment < SegmentsOf(job.k); segment += num_warps) {
      float acc[kTokens] = {};
#pragma unroll 1
      for (int turn = 0; turn < Terms<Decoder>::kTurns; ++turn) {
        const int64_t index = segment * kSegmentChunks + Terms<Decoder>::ChunkOf(turn, half);
        Terms<Decoder> terms[kTokens];
        int blocks = 0;
        if (index < num_chunks) {
          const typename Decoder::Chunk chunk = Decoder::At(tile, job.k, index);
          const uint8_t* groups[kTokens];
#pragma unroll
          for (int token = 0; token < kTokens; ++token) {
            groups[token] =
                activations[token] + index * static_cast<int64_t>(sizeof(ActivationGroup256));
          }
          const int first_block = Terms<Decoder>::FirstBlock(half);
          blocks = chunk.blocks - first_block;
          TurnTerms<Decoder>(chunk, first_block, row, groups, terms);
        }
#pragma unroll
        for (int token = 0; token < kTokens; ++token) {
          if (half == 0) acc[token] = terms[token].Chain(blocks, acc[token]);
          acc[token] = ShuffleFrom(acc[token], row);
          if (half == 1) acc[token] = terms[token].Chain(blocks, acc[token]);
          acc[token] = ShuffleFrom(acc[token], 16 + row);
        }
      }
      if (half == 0) {
#pragma unroll
        for (int token = 0; token < kTokens; ++token)
          sums.At(part, segment, token, row) = acc[token];
      }
    }
  }
  sums.Finish(job);
}

}  // namespace

template <class Decoder>
cudaError_t LaunchDp4a(const MatMulJob& job, cudaStream_t stream) {
  if (job.num_tokens == 1) return LaunchSegments<1>(Dp4aKernel<Decoder, 1>, job, stream);
  return LaunchSegments<4>(Dp4aKernel<Decoder, 4>, job, stream);
}

#define SLUICE_FLOAT_ENCODING(...)
#define SLUICE_QUANTIZED_ENCODING(name, ...) \
  template cudaError_t LaunchDp4a<name>(const MatMulJob&, cudaStream_t);
#include "kernels/encodings/encodings.def"

}  // namespace sluice::cuda
