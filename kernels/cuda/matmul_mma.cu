// Products of quantized weights for many tokens, on tensor cores: exact int8 sums, so the bits of
// dp4a.
//
// A block of four warps has four tiles (pairs with kSwiGlu) and 32 tokens; a warp has one tile and
// walks all of K, in order. The block stages the 32 tokens' activations of a chunk of 256 values in
// shared memory, the next chunk's while it computes with this one's. A thread's fragment words of
// the weights come straight from global memory: with g = lane / 4 and t = lane % 4, the word of row
// g in line t of a block of 32, eight rows a sector. Sums of a block are int32 in the C fragment;
// factors and chains are then CUDA cores' work, about a dozen instructions for each mma, and that
// is the limit: a quarter to a third of the tensor peak.
#include "kernels/cuda/decoders.h"
#include "kernels/cuda/epilogue.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matmul.h"
#include "kernels/encodings/activation_layout.h"

namespace sluice::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpLanes;
constexpr int kTokens = 32;
constexpr int kTokenTiles = kTokens / 8;
constexpr int kGroupBytes = sizeof(ActivationGroup256);
static_assert(sizeof(ActivationGroup32) == kGroupBytes);
// From one token's staged group to the next: 92 words, so that the 8 tokens x 4 words of a B
// fragment lie in 32 different banks.
constexpr int kStagedBytes = kGroupBytes + 16;
constexpr int kPieces = kGroupBytes / 16;  // of 16 bytes
constexpr int kProducts = kTokens * 16;    // of a warp
static_assert(2 * kWarps * kProducts * sizeof(float) <= 2 * kTokens * kStagedBytes);

// Copies the 32 tokens' groups of chunk `chunk`; tokens beyond the last are zeros.
__device__ __forceinline__ void Stage(const MatMulJob& job, int64_t first_token, int64_t chunk,
                                      uint8_t* staged) {
  for (int i = static_cast<int>(threadIdx.x); i < kTokens * kPieces; i += kThreads) {
    const int token = i / kPieces;
    const int piece = i % kPieces;
    uint4 value = {0, 0, 0, 0};
    if (first_token + token < job.num_tokens) {
      value = *reinterpret_cast<const uint4*>(job.activations +
                                              (first_token + token) * job.activation_stride +
                                              chunk * kGroupBytes + piece * 16);
    }
    *reinterpret_cast<uint4*>(staged + token * kStagedBytes + piece * 16) = value;
  }
}

__device__ __forceinline__ uint32_t QuantWord(const uint8_t* staged, int token, int word) {
  return *reinterpret_cast<const uint32_t*>(staged + token * kStagedBytes + 4 * word);
}
__device__ __forceinline__ const ActivationGroup32& Group32(const uint8_t* staged, int token) {
  return *reinterpret_cast<const ActivationGroup32*>(staged + token * kStagedBytes);
}
__device__ __forceinline__ const ActivationGroup256& Group256(const uint8_t* staged, int token) {
  return *reinterpret_cast<const ActivationGroup256*>(staged + token * kStagedBytes);
}

// Value i of a thread's share of C: rows g and g + 8, columns 2t and 2t + 1 of 8 tokens.
__device__ __forceinline__ int RowOf(int g, int i) { return g + i / 2 * 8; }
__device__ __forceinline__ int TokenOf(int t, int n, int i) { return 8 * n + 2 * t + i % 2; }

// Continues the chains with one chunk: [token tile][value of C].
template <class Decoder>
__device__ __forceinline__ void AddChunk(const typename Decoder::Chunk& chunk,
                                         const uint8_t* staged, int g, int t,
                                         float (&acc)[kTokenTiles][4]) {
  if constexpr (Decoder::kSums == Sums::kBlocks) {
#pragma unroll 2
    for (int block = 0; block < chunk.blocks; ++block) {
      uint32_t a[4];
      Decoder::Quads(chunk, block, t, g, a[0], a[2]);
      Decoder::Quads(chunk, block, t, g + 8, a[1], a[3]);
      const float d[2] = {Decoder::Scale(chunk, block, g), Decoder::Scale(chunk, block, g + 8)};
      const int32_t offset[2] = {Decoder::Offset(chunk, block, g),
                                 Decoder::Offset(chunk, block, g + 8)};
      float m[2] = {};
      if constexpr (Decoder::kMinima) {
        m[0] = Decoder::Min(chunk, block, g);
        m[1] = Decoder::Min(chunk, block, g + 8);
      }
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
        const uint32_t b[2] = {QuantWord(staged, 8 * n + g, 8 * block + t),
                               QuantWord(staged, 8 * n + g, 8 * block + 4 + t)};
        int32_t c[4] = {};
        Mma16x8x32(c, a, b);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const ActivationGroup32& group = Group32(staged, TokenOf(t, n, i));
          const int32_t isum = c[i] + offset[i / 2] * group.minus_sums[block];
          acc[n][i] = fmaf(static_cast<float>(isum), d[i / 2] * group.scales[block], acc[n][i]);
          if constexpr (Decoder::kMinima) {
            acc[n][i] = fmaf(static_cast<float>(-group.minus_sums[block]),
                             m[i / 2] * group.scales[block], acc[n][i]);
          }
        }
      }
    }
  } else {
    constexpr int kEach = 32 / Decoder::kSubBlockValues;
    const typename Decoder::Factors factors[2] = {Decoder::LoadFactors(chunk, g),
                                                  Decoder::LoadFactors(chunk, g + 8)};
    constexpr bool kScaledBlocks = Decoder::kSums == Sums::kScaledBlocks;
    int32_t scaled[kTokenTiles][4] = {};
    float sums[kTokenTiles][4] = {};  // where blocks have scales of their own
#pragma unroll 2                      // all eight at once need more registers than there are
    for (int block = 0; block < kChunkBlocks; ++block) {
      uint32_t a[4];
      Decoder::Quads(chunk, block, t, g, a[0], a[2]);
      Decoder::Quads(chunk, block, t, g + 8, a[1], a[3]);
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
        const uint32_t b[2] = {QuantWord(staged, 8 * n + g, 8 * block + t),
                               QuantWord(staged, 8 * n + g, 8 * block + 4 + t)};
        int32_t c[kEach][4] = {};
        if constexpr (kEach == 1) {
          Mma16x8x32(c[0], a, b);
        } else {
          Mma16x8x16(c[0], a[0], a[1], b[0]);
          Mma16x8x16(c[1], a[2], a[3], b[1]);
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if constexpr (kScaledBlocks) {
            const ActivationGroup32& group = Group32(staged, TokenOf(t, n, i));
#pragma unroll
            for (int s = 0; s < kEach; ++s)
              c[s][i] += Decoder::kOffset * group.minus_sums16[kEach * block + s];
          }
          int32_t sum = 0;
#pragma unroll
          for (int s = 0; s < kEach; ++s) {
            sum += Decoder::Factor(factors[i / 2], kEach * block + s) * c[s][i];
          }
          if constexpr (kScaledBlocks) {
            const float scale = Group32(staged, TokenOf(t, n, i)).scales[block];
            sums[n][i] = fmaf(static_cast<float>(sum), scale, sums[n][i]);
          } else {
            scaled[n][i] += sum;
          }
        }
      }
    }
    int32_t offset[kTokenTiles][4] = {};  // what the offset, or the minima, come to
    if constexpr (!kScaledBlocks && (Decoder::kMinima || Decoder::kOffset != 0)) {
#pragma unroll 4  // all at once would be most of the kernel's code
      for (int s = 0; s < kEach * kChunkBlocks; ++s) {
        int32_t factor[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          if constexpr (Decoder::kMinima) {
            factor[i] = Decoder::Minimum(factors[i], s);
          } else {
            factor[i] = Decoder::kOffset * Decoder::Factor(factors[i], s);
          }
        }
#pragma unroll
        for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const ActivationGroup256& group = Group256(staged, TokenOf(t, n, i));
            offset[n][i] += factor[i / 2] * (kEach == 1 ? group.sums32 : group.sums16)[SumPlace(s)];
          }
        }
      }
    }
    const float d[2] = {Decoder::D(chunk, g), Decoder::D(chunk, g + 8)};
    float dmin[2] = {};
    if constexpr (Decoder::kMinima) {
      dmin[0] = Decoder::DMin(chunk, g);
      dmin[1] = Decoder::DMin(chunk, g + 8);
    }
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if constexpr (kScaledBlocks) {
          acc[n][i] = fmaf(sums[n][i], d[i / 2], acc[n][i]);
          continue;
        }
        const float scale = Group256(staged, TokenOf(t, n, i)).scale;
        const int32_t sum = Decoder::kMinima ? scaled[n][i] : scaled[n][i] - offset[n][i];
        acc[n][i] = fmaf(static_cast<float>(sum), d[i / 2] * scale, acc[n][i]);
        if constexpr (Decoder::kMinima) {
          acc[n][i] = fmaf(-static_cast<float>(offset[n][i]), dmin[i / 2] * scale, acc[n][i]);
        }
      }
    }
  }
}

// Grid: (tiles or pairs / 4, tokens / 32).
template <class Decoder>
__global__ void __launch_bounds__(kThreads, 3) MmaKernel(const MatMulJob job) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int g = lane / 4;
  const int t = lane % 4;
  const int64_t tile_index = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarpLanes;
  const int64_t first_token = static_cast<int64_t>(blockIdx.y) * kTokens;
  const int64_t num_chunks = (job.k + kChunkValues - 1) / kChunkValues;
  const int tiles_each = TilesEach(job);

  SharedMemory shared;
  uint8_t* const even = shared.Take<uint8_t>(2 * kTokens * kStagedBytes);
  uint8_t* const odd = even + kTokens * kStagedBytes;

  float gate[kTokenTiles][4] = {};  // the first tile's product
  float total[kTokenTiles][4] = {};
  for (int part = 0; part < tiles_each; ++part) {
    if (part > 0) SyncBlock();  // the last chunk of the gate's is still read
    const uint8_t* const tile = job.tiles + (tile_index * tiles_each + part) * job.tile_bytes;
    float acc[kTokenTiles][4] = {};
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        gate[n][i] = total[n][i];
        total[n][i] = 0.0f;
      }
    }
    Stage(job, first_token, 0, even);
    for (int64_t chunk = 0; chunk < num_chunks; ++chunk) {
      // This chunk is staged, and nobody reads the one before it any more.
      SyncBlock();
      if (chunk + 1 < num_chunks) Stage(job, first_token, chunk + 1, chunk % 2 == 0 ? odd : even);
      if (tile_index >= job.num_tiles) continue;
      AddChunk<Decoder>(Decoder::At(tile, job.k, chunk), chunk % 2 == 0 ? even : odd, g, t, acc);
      if ((chunk + 1) % kSegmentChunks == 0 || chunk + 1 == num_chunks) {
#pragma unroll
        for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            total[n][i] = total[n][i] + acc[n][i];
            acc[n][i] = 0.0f;
          }
        }
      }
    }
  }

  // Through shared memory to a loop that is not unrolled: sixteen copies of the epilogues in each
  // kernel would take as long to compile as all else, and a warp's lanes store rows side by side.
  SyncBlock();  // the last chunk is still read
  float* const products = reinterpret_cast<float*>(even) + threadIdx.x / kWarpLanes * kProducts;
#pragma unroll
  for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int at = TokenOf(t, n, i) * 16 + RowOf(g, i);
      products[at] = total[n][i];
      products[kWarps * kProducts + at] = gate[n][i];
    }
  }
  SyncBlock();
  if (tile_index >= job.num_tiles) return;
#pragma unroll 1
  for (int i = lane; i < kProducts; i += kWarpLanes) {
    const float last = products[i];
    const float y = tiles_each == 2 ? products[kWarps * kProducts + i] : last;
    Finish(job, job.first_row + tile_index * 16 + i % 16, first_token + i / 16, y, last);
  }
}

}  // namespace

template <class Decoder>
cudaError_t LaunchMma(const MatMulJob& job, cudaStream_t stream) {
  return Launch(MmaKernel<Decoder>,
                {.blocks_x = (job.num_tiles + kWarps - 1) / kWarps,
                 .blocks_y = (job.num_tokens + kTokens - 1) / kTokens,
                 .threads = kThreads,
                 .shared_bytes = SharedBytes<uint8_t>(2 * kTokens * kStagedBytes)},
                job, stream);
}

#define SLUICE_FLOAT_ENCODING(...)
#define SLUICE_QUANTIZED_ENCODING(name, ...) \
  template cudaError_t LaunchMma<name>(const MatMulJob&, cudaStream_t);
#include "kernels/encodings/encodings.def"

}  // namespace sluice::cuda
