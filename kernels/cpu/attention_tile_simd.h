// Attention of a prompt's rows over one KV block that they share; the bits of attention_scalar.cc.
//
// The block is widened to f32 once for all rows and heads, and its keys are transposed: a lane is
// then a key, and a score's 16 chains along head_dim, one after the other, are added as a tree
// without crossing lanes. Bound by fma: kScoreVectors x heads of them take kScoreVectors + heads
// loads.
#ifndef SLUICE_KERNELS_CPU_ATTENTION_TILE_SIMD_H_
#define SLUICE_KERNELS_CPU_ATTENTION_TILE_SIMD_H_

#include "kernels/cpu/attention_simd.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/simd.h"

namespace sluice::SLUICE_SIMD_NAMESPACE {

// out[i * stride + r] = rows[r][i].
SLUICE_INLINE void TransposeRows(const float (&rows)[16][16], float* out, int64_t stride) {
  for (int i = 0; i < 16; ++i) {
    for (int r = 0; r < 16; ++r) out[i * stride + r] = rows[r][i];
  }
}

// keys [padded_dim][64] and values [64][padded_dim] of places [first, end) of a page.
template <class Kv>
void WidenKeys(const AttentionJob& job, const uint8_t* page, int first, int end, float* keys) {
  alignas(64) float rows[16][16];
  for (int t = first / 16 * 16; t < end; t += 16) {
    for (int64_t j = 0; j < job.padded_dim / 16; ++j) {
      for (int i = 0; i < 16; ++i) {
        const bool visible = t + i >= first && t + i < end;
        const uint8_t* row = page + job.k_offset + (t + i) * job.k_row_bytes;
        F32 k[1] = {ZeroF()};
        if (visible) Kv::Load(row, job.k_row_bytes, j, k);
        StoreF(k[0], rows[i]);
      }
      TransposeRows(rows, keys + 16 * j * kPageTokens + t, kPageTokens);
    }
  }
}

template <class Kv>
void WidenValues(const AttentionJob& job, const uint8_t* page, int first, int end, float* values) {
  for (int t = first; t < end; ++t) {
    const uint8_t* row = page + job.v_offset + t * job.v_row_bytes;
    for (int64_t j = 0; j < job.padded_dim / 16; ++j) {
      F32 v[1];
      Kv::Load(row, job.v_row_bytes, j, v);
      StoreF(v[0], values + t * job.padded_dim + 16 * j);
    }
  }
}

inline void WidenBlock(const AttentionJob& job, int64_t block, int first, int end, float* keys,
                       float* values) {
  const uint8_t* page = job.pages + job.page_table[block] * job.page_stride;
  switch (job.k_type) {
    case 0:
      WidenKeys<KvF32>(job, page, first, end, keys);
      break;
    case 1:
      WidenKeys<KvF16>(job, page, first, end, keys);
      break;
    default:
      WidenKeys<KvQ8_0>(job, page, first, end, keys);
  }
  switch (job.v_type) {
    case 0:
      return WidenValues<KvF32>(job, page, first, end, values);
    case 1:
      return WidenValues<KvF16>(job, page, first, end, values);
    default:
      return WidenValues<KvQ8_0>(job, page, first, end, values);
  }
}

// sum[g][v]: the chains of residue kStep * n + `residue` for n = 0, 1, .. added as Sum16's tree
// does, for G queries and 16 * V keys from `keys` on.
template <int G, int V, int kStep>
SLUICE_INLINE void ScoreTree(const float* q, int64_t padded_dim, const float* keys, int residue,
                             F32 (&sum)[G][V]) {
  if constexpr (kStep == 16) {
    for (int g = 0; g < G; ++g) {
      for (int v = 0; v < V; ++v) sum[g][v] = ZeroF();
    }
    for (int64_t d = residue; d < padded_dim; d += 16) {
      F32 k[V];
      for (int v = 0; v < V; ++v) k[v] = LoadF(keys + d * kPageTokens + 16 * v);
      for (int g = 0; g < G; ++g) {
        const F32 x = SetF(q[g * padded_dim + d]);
        for (int v = 0; v < V; ++v) sum[g][v] = Fma(x, k[v], sum[g][v]);
      }
    }
  } else {
    F32 other[G][V];
    ScoreTree<G, V, 2 * kStep>(q, padded_dim, keys, residue, sum);
    ScoreTree<G, V, 2 * kStep>(q, padded_dim, keys, residue + kStep, other);
    for (int g = 0; g < G; ++g) {
      for (int v = 0; v < V; ++v) sum[g][v] = Add(sum[g][v], other[g][v]);
    }
  }
}

// scores[64 * g + t] for the keys at places [first, end); other places get no meaning.
template <int G>
void TileScores(const AttentionJob& job, const float* q, const float* keys, int first, int end,
                float* scores) {
  const F32 scale = SetF(job.attention_scale);
  constexpr int kKeys = 16 * kScoreVectors;
  for (int t = first / kKeys * kKeys; t < end; t += kKeys) {
    F32 sum[G][kScoreVectors];
    ScoreTree<G, kScoreVectors, 1>(q, job.padded_dim, keys + t, 0, sum);
    for (int g = 0; g < G; ++g) {
      for (int v = 0; v < kScoreVectors; ++v) {
        StoreF(Mul(sum[g][v], scale), scores + kPageTokens * g + t + 16 * v);
      }
    }
  }
}

// Places [first, end) of a widened block for G heads of one row, `head` the first of them.
template <int G>
void AttendTileHeads(const AttentionJob& job, const float* keys, const float* values, int first,
                     int end, int head, const AttentionState& state) {
  alignas(64) float p[G * kPageTokens];
  TileScores<G>(job, job.q + head * job.padded_dim, keys, first, end, p);
  for (int g = 0; g < G; ++g) {
    float* const scores = p + kPageTokens * g;
    for (int t = 0; t < first; ++t) scores[t] = -__builtin_inff();
    for (int t = end; t < kPageTokens; ++t) scores[t] = -__builtin_inff();
    F32 max = LoadF(scores);
    for (int t = 16; t < kPageTokens; t += 16) max = Max(LoadF(scores + t), max);
    const float m = ReduceMax(max);
    F32 sum = ZeroF();
    for (int t = 0; t < kPageTokens; t += 16) {
      const F32 weight = Exp(Sub(LoadF(scores + t), SetF(m)));
      StoreF(weight, scores + t);
      sum = Add(sum, weight);
    }
    state.m[head + g] = m;
    state.l[head + g] = ReduceSum(sum);
  }
  AttentionJob widened = job;
  widened.v_row_bytes = job.padded_dim * static_cast<int64_t>(sizeof(float));
  Weigh<KvF32, G>(widened, reinterpret_cast<const uint8_t*>(values + first * job.padded_dim),
                  end - first, p + first, /*next=*/nullptr, state.o + head * job.padded_dim);
}

inline void AttendTile(const AttentionJob& job, const float* keys, const float* values, int first,
                       int end) {
  int head = 0;
  for (; head + 4 <= job.group; head += 4) {
    AttendTileHeads<4>(job, keys, values, first, end, head, job.result);
  }
  switch (job.group - head) {
    case 3:
      return AttendTileHeads<3>(job, keys, values, first, end, head, job.result);
    case 2:
      return AttendTileHeads<2>(job, keys, values, first, end, head, job.result);
    case 1:
      return AttendTileHeads<1>(job, keys, values, first, end, head, job.result);
    default:
      return;
  }
}

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_KERNELS_CPU_ATTENTION_TILE_SIMD_H_
