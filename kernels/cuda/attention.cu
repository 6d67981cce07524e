// Attention: a block of threads has one tile of rows, a group of heads of one KV head, and one
// chunk of 512 positions or all of them.
//
// For each KV block of 64 keys: (1) keys are widened into shared memory, 32 dimensions at a time,
// and a thread adds the 16 chains of the scores of one key and 4 queries in registers; (2) a warp a
// query finds the maximum, exponentials and their sum; (3) a thread adds one dimension of the
// values for 8 queries along the 64 keys, reading values side by side, and merges. Every chain is
// in the order of docs/arithmetic.md. Rows of a tile share what is read of keys and values. Bound
// by bandwidth of the KV cache for one row with several heads a KV head, by f32 fma and shared
// memory for a prompt: tensor cores would round otherwise.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/device_math.h"
#include "kernels/cuda/launch.h"

namespace sluice::cuda {
namespace {

constexpr int kSliceDims = 32;
// From one staged key to the next: reads of four floats by 8 threads lie in 32 different banks.
constexpr int kSliceStride = kSliceDims + 4;
constexpr int kThreadQueries = 4;  // (1)
constexpr int kValueQueries = 8;   // (3)
constexpr int kMaxThreads = 256;   // 64 keys x 16 queries / 4

__device__ __forceinline__ int64_t Max(int64_t a, int64_t b) { return a > b ? a : b; }
__device__ __forceinline__ int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }

// Value i of a head's row.
__device__ __forceinline__ float KvValue(int type, const uint8_t* row, int64_t row_bytes,
                                         int64_t i) {
  if (type == kKvF32) return reinterpret_cast<const float*>(row)[i];
  if (type == kKvF16) return F16ToF32(reinterpret_cast<const uint16_t*>(row)[i]);
  const float d = F16ToF32(reinterpret_cast<const uint16_t*>(row)[i / 32]);
  return d * static_cast<float>(reinterpret_cast<const int8_t*>(row + row_bytes / 34 * 2)[i]);
}

// Arrays of a block's shared memory; queries are padded to a multiple of 8 with zeros that nobody
// stores.
struct Arrays {
  float* q;        // [queries][padded_dim]
  float* keys;     // [64][kSliceStride]
  float* p;        // [64][queries]: scores, then exponentials
  float* m;        // [3][queries]: of this block of keys, of the chunk, of all chunks
  float* l;        // [3][queries]
  float* weight;   // [2][queries]: what merging multiplies o by, old and new
  int32_t* first;  // [queries] places of this block of keys that a query sees: [first, end)
  int32_t* end;
  float* o;      // [queries][padded_dim] of the chunk
  float* total;  // [queries][padded_dim] of all chunks; only without a split
};

struct Work {
  const AttendJob& job;
  Arrays arrays;
  AttendTile tile;
  int64_t kv_head;
  int64_t first_head;
  int heads;
  int queries;         // num_rows * heads
  int padded_queries;  // up to a multiple of 8
  int thread;
  int threads;

  __device__ const AttendRow& Row(int query) const {
    return job.rows[tile.first_row + query / heads];
  }
  __device__ int64_t Head(int query) const { return first_head + query % heads; }
};

__device__ __forceinline__ int Padded(int queries) {
  return (queries + kValueQueries - 1) / kValueQueries * kValueQueries;
}

__device__ __forceinline__ void LoadQueries(const Work& work) {
  const int64_t dim = work.job.padded_dim;
  for (int64_t i = work.thread; i < work.padded_queries * dim; i += work.threads) {
    const int query = static_cast<int>(i / dim);
    const int64_t d = i % dim;
    float value = 0.0f;
    if (query < work.queries && d < work.job.kv.head_dim) {
      const int64_t row = work.tile.first_row + query / work.heads;
      value = work.job.q[row * work.job.q_stride + work.Head(query) * work.job.kv.head_dim + d];
    }
    work.arrays.q[i] = value;
  }
}

// The tree of docs/arithmetic.md over chains in one thread's registers.
__device__ __forceinline__ float TreeOf16(const float (&c)[16]) {
  const auto four = [&c](int i) { return (c[i] + c[i + 8]) + (c[i + 4] + c[i + 12]); };
  return (four(0) + four(2)) + (four(1) + four(3));
}

// (1) p[key][query] = scores of the block's 64 keys; those not visible are computed from whatever
// lies there.
__device__ __forceinline__ void Scores(const Work& work, const uint8_t* keys, int first, int end) {
  const AttendJob& job = work.job;
  const int key = work.thread % kPageTokens;
  const int query = work.thread / kPageTokens * kThreadQueries;
  float chains[kThreadQueries][16] = {};
  for (int64_t begin = 0; begin < job.padded_dim; begin += kSliceDims) {
    const int dims = static_cast<int>(Min(kSliceDims, job.padded_dim - begin));
    SyncBlock();  // the slice before this one is used
    for (int i = first * dims + work.thread; i < end * dims; i += work.threads) {
      const int t = i / dims;
      work.arrays.keys[t * kSliceStride + i % dims] = KvValue(
          job.kv.k_type, keys + t * job.kv.k_row_bytes, job.kv.k_row_bytes, begin + i % dims);
    }
    SyncBlock();
    if (key < first || key >= end) continue;
    for (int part = 0; part < dims; part += 16) {
#pragma unroll
      for (int four = 0; four < 16; four += 4) {
        const float4 k =
            *reinterpret_cast<const float4*>(work.arrays.keys + key * kSliceStride + part + four);
#pragma unroll
        for (int i = 0; i < kThreadQueries; ++i) {
          const float4 q = *reinterpret_cast<const float4*>(
              work.arrays.q + (query + i) * job.padded_dim + begin + part + four);
          chains[i][four] = fmaf(q.x, k.x, chains[i][four]);
          chains[i][four + 1] = fmaf(q.y, k.y, chains[i][four + 1]);
          chains[i][four + 2] = fmaf(q.z, k.z, chains[i][four + 2]);
          chains[i][four + 3] = fmaf(q.w, k.w, chains[i][four + 3]);
        }
      }
    }
  }
  if (key < first || key >= end) return;
#pragma unroll
  for (int i = 0; i < kThreadQueries; ++i) {
    work.arrays.p[key * work.padded_queries + query + i] =
        TreeOf16(chains[i]) * job.attention_scale;
  }
}

// (2) Exponentials, their sum and the maximum; a warp a query, two keys a lane.
__device__ __forceinline__ void Softmax(const Work& work) {
  const int lane = work.thread % kWarpLanes;
  for (int query = work.thread / kWarpLanes; query < work.queries;
       query += work.threads / kWarpLanes) {
    float* const p = work.arrays.p + query;
    const int first = work.arrays.first[query];
    const int end = work.arrays.end[query];
    if (first >= end) continue;  // the whole warp
    const bool sees[2] = {lane >= first && lane < end, lane + 32 >= first && lane + 32 < end};
    const float s[2] = {sees[0] ? p[lane * work.padded_queries] : 0.0f,
                        sees[1] ? p[(lane + 32) * work.padded_queries] : 0.0f};
    float m = FloatOf(0xFF800000u);
    if (sees[0]) m = fmaxf(m, s[0]);
    if (sees[1]) m = fmaxf(m, s[1]);
    for (int step = 16; step > 0; step /= 2) m = fmaxf(m, ShuffleXor(m, step));
    const float e[2] = {sees[0] ? Exp(s[0] - m) : 0.0f, sees[1] ? Exp(s[1] - m) : 0.0f};
    p[lane * work.padded_queries] = e[0];
    p[(lane + 32) * work.padded_queries] = e[1];
    // Chain of lane i: keys i, i + 16, i + 32, i + 48. Lanes 16 .. 31 add in another order and are
    // not used.
    const float other[2] = {ShuffleXor(e[0], 16), ShuffleXor(e[1], 16)};
    const float l = TotalOf16((((0.0f + e[0]) + other[0]) + e[1]) + other[1]);
    if (lane == 0) {
      work.arrays.m[query] = m;
      work.arrays.l[query] = l;
    }
  }
}

// into = merge(into, next) of m and l, for all queries that `next` has; weights for o. Level 0 is a
// block of keys, 1 the chunk, 2 all chunks.
__device__ __forceinline__ void MergeScalars(const Work& work, int into, int next, int query) {
  float& m = work.arrays.m[into * work.padded_queries + query];
  float& l = work.arrays.l[into * work.padded_queries + query];
  const float next_m = work.arrays.m[next * work.padded_queries + query];
  const float larger = fmaxf(m, next_m);
  const float a = Exp(m - larger);
  const float b = Exp(next_m - larger);
  m = larger;
  l = fmaf(work.arrays.l[next * work.padded_queries + query], b, l * a);
  work.arrays.weight[query] = a;
  work.arrays.weight[work.padded_queries + query] = b;
}

// (3) o of the block of keys, merged into the chunk's.
__device__ __forceinline__ void Values(const Work& work, const uint8_t* values, int first, int end,
                                       int64_t block) {
  const AttendJob& job = work.job;
  const int64_t dim = job.padded_dim;
  const int groups = work.padded_queries / kValueQueries;
  for (int64_t item = work.thread; item < dim * groups; item += work.threads) {
    const int64_t d = item % dim;
    const int query = static_cast<int>(item / dim) * kValueQueries;
    int from[kValueQueries], to[kValueQueries];
    bool all = true;
#pragma unroll
    for (int i = 0; i < kValueQueries; ++i) {
      from[i] = work.arrays.first[query + i];
      to[i] = work.arrays.end[query + i];
      all = all && (query + i >= work.queries || (from[i] == first && to[i] == end));
    }
    float o[kValueQueries] = {};
    for (int t = first; t < end; ++t) {
      const float value =
          KvValue(job.kv.v_type, values + t * job.kv.v_row_bytes, job.kv.v_row_bytes, d);
      const float* const p = work.arrays.p + t * work.padded_queries + query;
#pragma unroll
      for (int i = 0; i < kValueQueries; ++i) {
        if (all || (t >= from[i] && t < to[i])) o[i] = fmaf(p[i], value, o[i]);
      }
    }
#pragma unroll
    for (int i = 0; i < kValueQueries; ++i) {
      if (query + i >= work.queries || from[i] >= to[i]) continue;
      const AttendRow& row = work.Row(query + i);
      const int64_t chunk_begin = block * kPageTokens / kAttentionChunk * kAttentionChunk;
      float& into = work.arrays.o[(query + i) * dim + d];
      if (block == Max(row.first_visible, chunk_begin) / kPageTokens) {
        into = o[i];
      } else {
        into = fmaf(o[i], work.arrays.weight[work.padded_queries + query + i],
                    into * work.arrays.weight[query + i]);
      }
    }
  }
}

// One block of 64 keys. Every thread comes here with the same `block`.
__device__ __forceinline__ void AttendBlock(const Work& work, int64_t block) {
  const AttendJob& job = work.job;
  const int64_t begin = block * kPageTokens;
  const int64_t chunk_begin = begin / kAttentionChunk * kAttentionChunk;
  // What any row of the tile sees: positions grow from row to row, and so do the windows.
  const AttendRow& first_row = job.rows[work.tile.first_row];
  const AttendRow& last_row = job.rows[work.tile.first_row + work.tile.num_rows - 1];
  const int first = static_cast<int>(Max(0, first_row.first_visible - begin));
  const int end = static_cast<int>(Min(kPageTokens, last_row.position + 1 - begin));
  const uint8_t* const keys =
      job.kv.pages + first_row.page_table[block] * job.kv.page_stride +
      work.kv_head * kPageTokens * (job.kv.k_row_bytes + job.kv.v_row_bytes);
  const uint8_t* const values = keys + kPageTokens * job.kv.k_row_bytes;

  SyncBlock();  // the block of keys before this one is used
  for (int query = work.thread; query < work.padded_queries; query += work.threads) {
    int from = 0;
    int to = 0;
    if (query < work.queries) {
      const AttendRow& row = work.Row(query);
      from = static_cast<int>(Max(0, row.first_visible - begin));
      to = static_cast<int>(Min(kPageTokens, row.position + 1 - begin));
    }
    work.arrays.first[query] = from;
    work.arrays.end[query] = to;
  }
  Scores(work, keys, first, end);  // begins with a barrier
  SyncBlock();
  Softmax(work);
  SyncBlock();
  for (int query = work.thread; query < work.queries; query += work.threads) {
    if (work.arrays.first[query] >= work.arrays.end[query]) continue;
    if (block == Max(work.Row(query).first_visible, chunk_begin) / kPageTokens) {
      work.arrays.m[work.padded_queries + query] = work.arrays.m[query];
      work.arrays.l[work.padded_queries + query] = work.arrays.l[query];
    } else {
      MergeScalars(work, 1, 0, query);
    }
  }
  SyncBlock();
  Values(work, values, first, end, block);
}

// Does the row see anything of the chunk?
__device__ __forceinline__ bool Sees(const AttendRow& row, int64_t chunk) {
  return row.first_visible / kAttentionChunk <= chunk && chunk <= row.position / kAttentionChunk;
}

// The chunk's state to where the second kernel looks for it.
__device__ __forceinline__ void StoreStates(const Work& work, int64_t chunk) {
  const AttendJob& job = work.job;
  for (int64_t i = work.thread; i < work.queries * job.padded_dim; i += work.threads) {
    const int query = static_cast<int>(i / job.padded_dim);
    const AttendRow& row = work.Row(query);
    if (!Sees(row, chunk)) continue;
    const int64_t slot =
        ((work.tile.first_row + query / work.heads) * job.num_heads + work.Head(query)) *
            job.split_chunks +
        chunk - row.first_visible / kAttentionChunk;
    float* const state = job.states + slot * (job.padded_dim + 2);
    const int64_t d = i % job.padded_dim;
    if (d == 0) {
      state[0] = work.arrays.m[work.padded_queries + query];
      state[1] = work.arrays.l[work.padded_queries + query];
    }
    state[2 + d] = work.arrays.o[i];
  }
}

// The chunk's state merged into that of all chunks.
__device__ __forceinline__ void MergeChunk(const Work& work, int64_t chunk) {
  const int64_t dim = work.job.padded_dim;
  for (int query = work.thread; query < work.queries; query += work.threads) {
    const AttendRow& row = work.Row(query);
    if (!Sees(row, chunk)) continue;
    if (chunk == row.first_visible / kAttentionChunk) {
      work.arrays.m[2 * work.padded_queries + query] = work.arrays.m[work.padded_queries + query];
      work.arrays.l[2 * work.padded_queries + query] = work.arrays.l[work.padded_queries + query];
    } else {
      MergeScalars(work, 2, 1, query);
    }
  }
  SyncBlock();
  for (int64_t i = work.thread; i < work.queries * dim; i += work.threads) {
    const int query = static_cast<int>(i / dim);
    const AttendRow& row = work.Row(query);
    if (!Sees(row, chunk)) continue;
    const float o = work.arrays.o[i];
    work.arrays.total[i] = chunk == row.first_visible / kAttentionChunk
                               ? o
                               : fmaf(o, work.arrays.weight[work.padded_queries + query],
                                      work.arrays.total[i] * work.arrays.weight[query]);
  }
}

// Grid: (tiles, groups of heads, chunks of the split or 1). Threads: 64 for each 4 queries.
__global__ void __launch_bounds__(kMaxThreads, 1) AttendKernel(const AttendJob job) {
  const int64_t groups_per_kv = (job.heads_per_kv + job.heads_each - 1) / job.heads_each;
  const int64_t kv_head = blockIdx.y / groups_per_kv;
  const int64_t in_kv = blockIdx.y % groups_per_kv * job.heads_each;
  const AttendTile tile = job.tiles[blockIdx.x];
  const int heads = static_cast<int>(Min(job.heads_each, job.heads_per_kv - in_kv));
  const int queries = tile.num_rows * heads;
  const int padded = Padded(job.max_queries);

  SharedMemory shared;
  Arrays arrays;
  arrays.q = shared.Take<float>(padded * job.padded_dim);
  arrays.keys = shared.Take<float>(kPageTokens * kSliceStride);
  arrays.p = shared.Take<float>(kPageTokens * padded);
  arrays.m = shared.Take<float>(3 * padded);
  arrays.l = shared.Take<float>(3 * padded);
  arrays.weight = shared.Take<float>(2 * padded);
  arrays.first = shared.Take<int32_t>(padded);
  arrays.end = shared.Take<int32_t>(padded);
  arrays.o = shared.Take<float>(padded * job.padded_dim);
  arrays.total = job.split_chunks > 0 ? nullptr : shared.Take<float>(padded * job.padded_dim);
  const Work work = {job,
                     arrays,
                     tile,
                     kv_head,
                     kv_head * job.heads_per_kv + in_kv,
                     heads,
                     queries,
                     padded,
                     static_cast<int>(threadIdx.x),
                     static_cast<int>(blockDim.x)};

  const AttendRow& first_row = job.rows[tile.first_row];
  const AttendRow& last_row = job.rows[tile.first_row + tile.num_rows - 1];
  int64_t chunk = first_row.first_visible / kAttentionChunk;
  int64_t chunk_end = last_row.position / kAttentionChunk + 1;
  if (job.split_chunks > 0) {
    chunk += blockIdx.z;
    if (chunk >= chunk_end) return;  // the whole block
    chunk_end = chunk + 1;
  }
  LoadQueries(work);
  for (; chunk < chunk_end; ++chunk) {
    const int64_t begin = Max(first_row.first_visible, chunk * kAttentionChunk);
    const int64_t end = Min(last_row.position + 1, (chunk + 1) * kAttentionChunk);
    for (int64_t block = begin / kPageTokens; block * kPageTokens < end; ++block)
      AttendBlock(work, block);
    SyncBlock();
    if (job.split_chunks > 0) {
      StoreStates(work, chunk);
    } else {
      MergeChunk(work, chunk);
    }
  }
  if (job.split_chunks > 0) return;
  // Each thread reads of the totals what it wrote; sums are behind MergeChunk's barrier.
  for (int64_t i = work.thread; i < queries * job.padded_dim; i += work.threads) {
    const int query = static_cast<int>(i / job.padded_dim);
    const int64_t d = i % job.padded_dim;
    if (d >= job.kv.head_dim) continue;
    const int64_t row = tile.first_row + query / heads;
    job.out[row * job.out_stride + work.Head(query) * job.kv.head_dim + d] =
        arrays.total[i] / arrays.l[2 * padded + query];
  }
}

// Grid: (rows, heads): merges the chunks of a row's head in order, a thread a dimension.
__global__ void __launch_bounds__(kMaxThreads) MergeKernel(const AttendJob job) {
  const AttendRow row = job.rows[blockIdx.x];
  const int64_t head = blockIdx.y;
  const int64_t chunks = row.position / kAttentionChunk - row.first_visible / kAttentionChunk + 1;
  const int64_t stride = job.padded_dim + 2;
  const float* const states =
      job.states +
      (static_cast<int64_t>(blockIdx.x) * job.num_heads + head) * job.split_chunks * stride;
  for (int64_t d = threadIdx.x; d < job.kv.head_dim; d += blockDim.x) {
    float m = states[0];
    float l = states[1];
    float o = states[2 + d];
    for (int64_t chunk = 1; chunk < chunks; ++chunk) {
      const float* const next = states + chunk * stride;
      const float larger = fmaxf(m, next[0]);
      const float a = Exp(m - larger);
      const float b = Exp(next[0] - larger);
      m = larger;
      l = fmaf(next[1], b, l * a);
      o = fmaf(next[2 + d], b, o * a);
    }
    job.out[static_cast<int64_t>(blockIdx.x) * job.out_stride + head * job.kv.head_dim + d] = o / l;
  }
}

int64_t SharedBytesOf(const AttendJob& job) {
  const int64_t padded = (job.max_queries + kValueQueries - 1) / kValueQueries * kValueQueries;
  const int64_t rows = SharedBytes<float>(padded * job.padded_dim);
  return (job.split_chunks > 0 ? 2 : 3) * rows + SharedBytes<float>(kPageTokens * kSliceStride) +
         SharedBytes<float>(kPageTokens * padded) + 2 * SharedBytes<float>(3 * padded) +
         SharedBytes<float>(2 * padded) + 2 * SharedBytes<int32_t>(padded);
}

}  // namespace

cudaError_t LaunchAttention(const AttendJob& job, cudaStream_t stream) {
  const int64_t groups_per_kv = (job.heads_per_kv + job.heads_each - 1) / job.heads_each;
  LaunchShape shape = {.blocks_x = job.num_tiles,
                       .blocks_y = job.kv.num_kv_heads * groups_per_kv,
                       .blocks_z = job.split_chunks > 0 ? job.split_chunks : 1,
                       .threads = 64 * ((job.max_queries + kThreadQueries - 1) / kThreadQueries),
                       .shared_bytes = SharedBytesOf(job)};
  const cudaError_t error = Launch(AttendKernel, shape, job, stream);
  if (error != cudaSuccess || job.split_chunks == 0) return error;
  shape = {.blocks_x = job.num_rows, .blocks_y = job.num_heads, .threads = 128};
  return Launch(MergeKernel, shape, job, stream);
}

}  // namespace sluice::cuda
