// Attention over KV pages; the bits of attention_scalar.cc.
//
// Heads of a group share the widening of keys and values: up to four heads meet a row at once, and
// the page they read twice is in the L1 or L2 cache. Scores sum along head_dim in 16 lanes and are
// reduced four keys at a time; values are summed along the keys, 16 or 64 elements wide.
#ifndef SLUICE_KERNELS_CPU_ATTENTION_SIMD_H_
#define SLUICE_KERNELS_CPU_ATTENTION_SIMD_H_

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/rows_simd.h"
#include "kernels/cpu/simd.h"

namespace sluice::SLUICE_SIMD_NAMESPACE {

inline constexpr int kPageTokens = 64;

// KvType values as in kernels/ops.h; each widens elements 16 * j .. 16 * j + 15 of a head's row.
struct KvF32 {
  SLUICE_INLINE static F32 Load(const uint8_t* row, int64_t, int64_t j) {
    return LoadF(reinterpret_cast<const float*>(row) + 16 * j);
  }
};
struct KvF16 {
  SLUICE_INLINE static F32 Load(const uint8_t* row, int64_t, int64_t j) {
    return LoadHalves(row + 32 * j);
  }
};
struct KvQ8_0 {
  SLUICE_INLINE static F32 Load(const uint8_t* row, int64_t row_bytes, int64_t j) {
    uint16_t bits;
    __builtin_memcpy(&bits, row + j / 2 * 2, 2);
    const float d = FromHalf(bits);
    return Mul(SetF(d), LoadBytes(row + row_bytes / 34 * 2 + 16 * j));
  }
};

// Scores of G heads for `num_keys` keys (K rows one after the other): scores + 64 * head.
template <class Kv, int G>
void Scores(const AttentionJob& job, const uint8_t* keys, int num_keys, const float* q,
            float* scores) {
  const int64_t vectors = job.padded_dim / 16;
  const F32 scale = SetF(job.attention_scale);
  int t = 0;
  for (; t + 4 <= num_keys; t += 4) {
    const uint8_t* row = keys + t * job.k_row_bytes;
    F32 sum[G][4];
    for (int g = 0; g < G; ++g) {
      for (int i = 0; i < 4; ++i) sum[g][i] = ZeroF();
    }
    for (int64_t j = 0; j < vectors; ++j) {
      F32 k[4];
      for (int i = 0; i < 4; ++i) k[i] = Kv::Load(row + i * job.k_row_bytes, job.k_row_bytes, j);
      for (int g = 0; g < G; ++g) {
        const F32 x = LoadF(q + g * job.padded_dim + 16 * j);
        for (int i = 0; i < 4; ++i) sum[g][i] = Fma(x, k[i], sum[g][i]);
      }
    }
    for (int g = 0; g < G; ++g) {
      ReduceSum4(sum[g][0], sum[g][1], sum[g][2], sum[g][3], scores + kPageTokens * g + t);
    }
  }
  for (; t < num_keys; ++t) {
    const uint8_t* row = keys + t * job.k_row_bytes;
    for (int g = 0; g < G; ++g) {
      F32 sum = ZeroF();
      for (int64_t j = 0; j < vectors; ++j) {
        sum = Fma(LoadF(q + g * job.padded_dim + 16 * j), Kv::Load(row, job.k_row_bytes, j), sum);
      }
      scores[kPageTokens * g + t] = ReduceSum(sum);
    }
  }
  for (int g = 0; g < G; ++g) {
    for (int i = 0; i < num_keys; i += 16) {
      float* at = scores + kPageTokens * g + i;
      StoreF(Mul(LoadF(at), scale), at);
    }
  }
}

// o[head][16 * j ..] = sum over keys of p * v, for G heads and C vectors from j on.
template <class Kv, int G, int C>
SLUICE_INLINE void WeighColumns(const AttentionJob& job, const uint8_t* values, int num_keys,
                                const float* p, int64_t j, float* o) {
  F32 sum[G][C];
  for (int g = 0; g < G; ++g) {
    for (int c = 0; c < C; ++c) sum[g][c] = ZeroF();
  }
  for (int t = 0; t < num_keys; ++t) {
    const uint8_t* row = values + t * job.v_row_bytes;
    F32 v[C];
    for (int c = 0; c < C; ++c) v[c] = Kv::Load(row, job.v_row_bytes, j + c);
    for (int g = 0; g < G; ++g) {
      const F32 weight = SetF(p[kPageTokens * g + t]);
      for (int c = 0; c < C; ++c) sum[g][c] = Fma(weight, v[c], sum[g][c]);
    }
  }
  for (int g = 0; g < G; ++g) {
    for (int c = 0; c < C; ++c) StoreF(sum[g][c], o + g * job.padded_dim + 16 * (j + c));
  }
}

template <class Kv, int G>
void Weigh(const AttentionJob& job, const uint8_t* values, int num_keys, const float* p, float* o) {
  constexpr int kColumns = G == 4 ? 2 : 4;
  const int64_t vectors = job.padded_dim / 16;
  int64_t j = 0;
  for (; j + kColumns <= vectors; j += kColumns) {
    WeighColumns<Kv, G, kColumns>(job, values, num_keys, p, j, o);
  }
  for (; j < vectors; ++j) WeighColumns<Kv, G, 1>(job, values, num_keys, p, j, o);
}

template <int G>
SLUICE_INLINE void ScoresOf(const AttentionJob& job, const uint8_t* keys, int num_keys,
                            const float* q, float* scores) {
  switch (job.k_type) {
    case 0:
      return Scores<KvF32, G>(job, keys, num_keys, q, scores);
    case 1:
      return Scores<KvF16, G>(job, keys, num_keys, q, scores);
    default:
      return Scores<KvQ8_0, G>(job, keys, num_keys, q, scores);
  }
}

template <int G>
SLUICE_INLINE void WeighOf(const AttentionJob& job, const uint8_t* values, int num_keys,
                           const float* p, float* o) {
  switch (job.v_type) {
    case 0:
      return Weigh<KvF32, G>(job, values, num_keys, p, o);
    case 1:
      return Weigh<KvF16, G>(job, values, num_keys, p, o);
    default:
      return Weigh<KvQ8_0, G>(job, values, num_keys, p, o);
  }
}

// Keys [first, first + num_keys) of a block for G heads from `head` on.
template <int G>
void AttendHeads(const AttentionJob& job, const uint8_t* page, int first, int num_keys, int head,
                 const AttentionState& state) {
  // Scores and weights by place among the visible keys; then, for the sum, by place in the block.
  alignas(64) float p[G * kPageTokens];
  for (int i = 0; i < G * kPageTokens; i += 16) StoreF(ZeroF(), p + i);
  ScoresOf<G>(job, page + job.k_offset + first * job.k_row_bytes, num_keys,
              job.q + head * job.padded_dim, p);
  for (int g = 0; g < G; ++g) {
    float* const scores = p + kPageTokens * g;
    F32 max = SetF(-__builtin_inff());
    for (int i = 0; i < num_keys; i += 16) {
      max = Max(KeepFirst(LoadF(scores + i), LanesLeft(i, num_keys)), max);
    }
    const float m = ReduceMax(max);
    for (int i = 0; i < num_keys; i += 16) {
      StoreFirst(Exp(Sub(LoadF(scores + i), SetF(m))), scores + i, LanesLeft(i, num_keys));
    }
    alignas(64) float placed[kPageTokens + 16];
    for (int i = 0; i < kPageTokens; i += 16) StoreF(ZeroF(), placed + i);
    for (int i = 0; i < num_keys; i += 16) {
      StoreFirst(LoadF(scores + i), placed + first + i, LanesLeft(i, num_keys));
    }
    F32 sum = ZeroF();
    for (int i = 0; i < kPageTokens; i += 16) sum = Add(sum, LoadF(placed + i));
    state.m[head + g] = m;
    state.l[head + g] = ReduceSum(sum);
  }
  WeighOf<G>(job, page + job.v_offset + first * job.v_row_bytes, num_keys, p,
             state.o + head * job.padded_dim);
}

inline void Merge(const AttentionState& into, const AttentionState& next, int group,
                  int64_t padded_dim) {
  for (int head = 0; head < group; ++head) {
    const float m = into.m[head] < next.m[head] ? next.m[head] : into.m[head];
    const float a = Exp1(into.m[head] - m);
    const float b = Exp1(next.m[head] - m);
    into.m[head] = m;
    into.l[head] = __builtin_fmaf(next.l[head], b, into.l[head] * a);
    float* o = into.o + head * padded_dim;
    const float* other = next.o + head * padded_dim;
    for (int64_t i = 0; i < padded_dim; i += 16) {
      StoreF(Fma(LoadF(other + i), SetF(b), Mul(LoadF(o + i), SetF(a))), o + i);
    }
  }
}

inline void Attend(const AttentionJob& job) {
  for (int64_t begin = job.position_begin; begin < job.position_end;) {
    const int64_t block_end = (begin / kPageTokens + 1) * kPageTokens;
    const int64_t end = block_end < job.position_end ? block_end : job.position_end;
    const uint8_t* page = job.pages + job.page_table[begin / kPageTokens] * job.page_stride;
    const bool is_first = begin == job.position_begin;
    const AttentionState& state = is_first ? job.result : job.block;
    const int first = static_cast<int>(begin % kPageTokens);
    const int num_keys = static_cast<int>(end - begin);
    int head = 0;
    for (; head + 4 <= job.group; head += 4) {
      AttendHeads<4>(job, page, first, num_keys, head, state);
    }
    if (head + 2 <= job.group) {
      AttendHeads<2>(job, page, first, num_keys, head, state);
      head += 2;
    }
    if (head < job.group) AttendHeads<1>(job, page, first, num_keys, head, state);
    if (!is_first) Merge(job.result, job.block, job.group, job.padded_dim);
    begin = end;
  }
}

inline void StoreKvF32(const float* x, int64_t head_dim, uint8_t* row) {
  for (int64_t i = 0; i < head_dim; i += 16) {
    StoreF(LoadUpTo(x, i, head_dim), reinterpret_cast<float*>(row) + i);
  }
}

inline void StoreKvF16(const float* x, int64_t head_dim, uint8_t* row) {
  for (int64_t i = 0; i < head_dim; i += 16) StoreHalves(LoadUpTo(x, i, head_dim), row + 2 * i);
}

inline void StoreKvQ8_0(const float* x, int64_t head_dim, uint8_t* row) {
  const int64_t blocks = (head_dim + 31) / 32;
  uint8_t* const quants = row + 2 * blocks;
  for (int64_t block = 0; block < blocks; ++block) {
    const F32 v[2] = {LoadUpTo(x, 32 * block, head_dim), LoadUpTo(x, 32 * block + 16, head_dim)};
    const I32 magnitude = SetI(INT32_MAX);
    const int32_t amax_bits =
        ReduceMaxI(MaxI(And(AsInt(v[0]), magnitude), And(AsInt(v[1]), magnitude)));
    float amax;
    __builtin_memcpy(&amax, &amax_bits, 4);
    uint16_t bits = 0x7E00;  // NaN
    if (amax_bits < 0x7F800000) bits = ToHalf(amax / 127.0f);
    __builtin_memcpy(row + 2 * block, &bits, 2);
    const F32 scale = SetF(FromHalf(bits));
    for (int i = 0; i < 2; ++i) {
      I32 q = ZeroI();
      if (bits != 0 && bits < 0x7C00) {
        F32 y = Round(Div(v[i], scale));
        y = Max(SetF(-127.0f), Min(SetF(127.0f), y));
        q = ToInt(y);
      }
      StoreBytes(q, quants + 32 * block + 16 * i);
    }
  }
}

}  // namespace sluice::SLUICE_SIMD_NAMESPACE

#endif  // SLUICE_KERNELS_CPU_ATTENTION_SIMD_H_
