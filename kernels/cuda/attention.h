// Launches of attention over KV pages, in the bits of docs/arithmetic.md.
#ifndef SLUICE_KERNELS_CUDA_ATTENTION_H_
#define SLUICE_KERNELS_CUDA_ATTENTION_H_

#include <cuda_runtime_api.h>
#include <stdint.h>

#include "kernels/cuda/kv_layout.h"

namespace sluice::cuda {

// Positions whose blocks are merged before chunks are.
inline constexpr int64_t kAttentionChunk = 512;
inline constexpr int64_t kMaxHeadDim = 256;

// One row, as AttentionRow (kernels/ops.h), in device memory.
struct AttendRow {
  const int32_t* page_table;  // page of position p is page_table[p / 64]
  int64_t position;
  int64_t first_visible;
};
// Consecutive positions of one sequence that share what is read of its keys and values.
struct AttendTile {
  int32_t first_row;
  int32_t num_rows;
};

// Query rows that times heads make up a block's queries, at most.
inline constexpr int MaxQueries(int64_t head_dim) { return head_dim <= 128 ? 16 : 8; }

struct AttendJob {
  KvPages kv;
  int64_t padded_dim;  // head_dim up to a multiple of 16
  int64_t num_heads;
  int64_t heads_per_kv;
  int heads_each;  // query heads of a block: heads_each * (rows of a tile) <= MaxQueries(head_dim)
  float attention_scale;
  const AttendRow* rows;
  int64_t num_rows;
  const AttendTile* tiles;
  int64_t num_tiles;
  const float* q;  // [rows][num_heads][head_dim], q_stride floats apart
  int64_t q_stride;
  float* out;  // the same shape
  int64_t out_stride;
  int max_queries;  // of any tile: rows x heads_each
  // A block of threads a chunk, and a second kernel that merges; 0: a block walks all its chunks.
  int64_t split_chunks;  // chunks, at most, from a row's first one on
  float* states;         // [rows][num_heads][split_chunks][padded_dim + 2]: m, l, o of each chunk
};
cudaError_t LaunchAttention(const AttendJob& job, cudaStream_t stream);

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_ATTENTION_H_
