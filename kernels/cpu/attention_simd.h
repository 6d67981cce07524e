// Attention over KV pages; the bits of attention_scalar.cc.
//
// Up to four heads of a group share the widening of a row. Scores sum along head_dim in 16 lanes
// and are reduced four keys at a time; values are summed along the keys, as many elements at once
// as fit the registers. For one token it runs into memory (f32 and f16 keys: 0.84 of the read
// bandwidth on Zen 4) or into computing (q8_0: 0.5; a core does 57 GFLOP/s of 118, and 63 with f16
// keys, which take twice the bytes. Neither scales widened ahead of time nor other prefetches
// gained more than 1%).
#ifndef SLUICE_KERNELS_CPU_ATTENTION_SIMD_H_
#define SLUICE_KERNELS_CPU_ATTENTION_SIMD_H_

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/rows_simd.h"
#include "kernels/cpu/simd.h"

namespace sluice::SLUICE_SIMD_NAMESPACE {

inline constexpr int kPageTokens = 64;

// KvType values as in kernels/ops.h. Each widens elements 16 * j .. of a head's row: N vectors,
// where N is 1 or, for an even j, 2 (32 values share a scale).
struct KvF32 {
  template <int N>
  SLUICE_INLINE static void Load(const uint8_t* row, int64_t, int64_t j, F32 (&out)[N]) {
    for (int i = 0; i < N; ++i) out[i] = LoadF(reinterpret_cast<const float*>(row) + 16 * (j + i));
  }
};
struct KvF16 {
  template <int N>
  SLUICE_INLINE static void Load(const uint8_t* row, int64_t, int64_t j, F32 (&out)[N]) {
    for (int i = 0; i < N; ++i) out[i] = LoadHalves(row + 32 * (j + i));
  }
};
struct KvQ8_0 {
  template <int N>
  SLUICE_INLINE static void Load(const uint8_t* row, int64_t row_bytes, int64_t j, F32 (&out)[N]) {
    uint16_t bits;
    __builtin_memcpy(&bits, row + j / 2 * 2, 2);
    const F32 d = SetF(FromHalf(bits));
    const uint8_t* quants = row + row_bytes / 34 * 2;
    for (int i = 0; i < N; ++i) out[i] = Mul(d, LoadBytes(quants + 16 * (j + i)));
  }
};

// sum[g][i] += the products of N vectors from j on, for G heads and K keys.
template <class Kv, int G, int K, int N>
SLUICE_INLINE void AddScores(const AttentionJob& job, const uint8_t* rows, const float* q,
                             int64_t j, F32 (&sum)[G][K]) {
  F32 x[G][N];
  for (int g = 0; g < G; ++g) {
    for (int n = 0; n < N; ++n) x[g][n] = LoadF(q + g * job.padded_dim + 16 * (j + n));
  }
  for (int i = 0; i < K; ++i) {
    F32 k[N];
    Kv::Load(rows + i * job.k_row_bytes, job.k_row_bytes, j, k);
    for (int n = 0; n < N; ++n) {
      for (int g = 0; g < G; ++g) sum[g][i] = Fma(x[g][n], k[n], sum[g][i]);
    }
  }
}

// The chains of G heads' scores against K keys.
template <class Kv, int G, int K>
SLUICE_INLINE void SumScores(const AttentionJob& job, const uint8_t* rows, const float* q,
                             F32 (&sum)[G][K]) {
  for (int g = 0; g < G; ++g) {
    for (int i = 0; i < K; ++i) sum[g][i] = ZeroF();
  }
  const int64_t vectors = job.padded_dim / 16;
  int64_t j = 0;
  for (; j + 2 <= vectors; j += 2) AddScores<Kv, G, K, 2>(job, rows, q, j, sum);
  if (j < vectors) AddScores<Kv, G, K, 1>(job, rows, q, j, sum);
}

// Asks for `bytes` from `p` on, into the L2 cache; p may be null. Scores and sums leave the memory
// idle while they compute, and the next rows lie elsewhere: what comes next is asked for meanwhile.
SLUICE_INLINE void Ask(const uint8_t* p, int64_t bytes) {
  if (p == nullptr) return;
  for (int64_t i = 0; i < bytes; i += 64) PrefetchL2(p + i);
}

// Scores of G heads for `num_keys` keys (K rows one after the other): scores + 64 * head. `values`
// are the rows that will be summed.
template <class Kv, int G>
void Scores(const AttentionJob& job, const uint8_t* keys, const uint8_t* values, int num_keys,
            const float* q, float* scores) {
  int t = 0;
  for (; t + 4 <= num_keys; t += 4) {
    Ask(values + t * job.v_row_bytes, 4 * job.v_row_bytes);
    F32 sum[G][4];
    SumScores<Kv>(job, keys + t * job.k_row_bytes, q, sum);
    for (int g = 0; g < G; ++g) {
      ReduceSum4(sum[g][0], sum[g][1], sum[g][2], sum[g][3], scores + kPageTokens * g + t);
    }
  }
  for (; t < num_keys; ++t) {
    F32 sum[G][1];
    SumScores<Kv>(job, keys + t * job.k_row_bytes, q, sum);
    for (int g = 0; g < G; ++g) scores[kPageTokens * g + t] = ReduceSum(sum[g][0]);
  }
  const F32 scale = SetF(job.attention_scale);
  for (int g = 0; g < G; ++g) {
    for (int i = 0; i < num_keys; i += 16) {
      float* at = scores + kPageTokens * g + i;
      StoreF(Mul(LoadF(at), scale), at);
    }
  }
}

// o[head][16 * j ..] = sum over keys of p * v, for G heads and C vectors from j on: 1, or an even
// number from an even j. `next` are the keys of the next block, or null.
template <class Kv, int G, int C>
SLUICE_INLINE void WeighColumns(const AttentionJob& job, const uint8_t* values, int num_keys,
                                const float* p, int64_t j, const uint8_t* next, float* o) {
  constexpr int kAtOnce = C == 1 ? 1 : 2;
  F32 sum[G][C];
  for (int g = 0; g < G; ++g) {
    for (int c = 0; c < C; ++c) sum[g][c] = ZeroF();
  }
  for (int t = 0; t < num_keys; ++t) {
    const uint8_t* row = values + t * job.v_row_bytes;
    if (next != nullptr) Ask(next + t * job.k_row_bytes, job.k_row_bytes);
    F32 weight[G];
    for (int g = 0; g < G; ++g) weight[g] = SetF(p[kPageTokens * g + t]);
    for (int c = 0; c < C; c += kAtOnce) {
      F32 v[kAtOnce];
      Kv::Load(row, job.v_row_bytes, j + c, v);
      for (int i = 0; i < kAtOnce; ++i) {
        for (int g = 0; g < G; ++g) sum[g][c + i] = Fma(weight[g], v[i], sum[g][c + i]);
      }
    }
  }
  for (int g = 0; g < G; ++g) {
    for (int c = 0; c < C; ++c) StoreF(sum[g][c], o + g * job.padded_dim + 16 * (j + c));
  }
}

template <class Kv, int G>
void Weigh(const AttentionJob& job, const uint8_t* values, int num_keys, const float* p,
           const uint8_t* next, float* o) {
  constexpr int kColumns = kValueVectors / G >= 8 ? 8 : kValueVectors / G >= 4 ? 4 : 2;
  const int64_t vectors = job.padded_dim / 16;
  int64_t j = 0;
  for (; j + kColumns <= vectors; j += kColumns) {
    WeighColumns<Kv, G, kColumns>(job, values, num_keys, p, j, j == 0 ? next : nullptr, o);
  }
  for (; j < vectors; ++j) WeighColumns<Kv, G, 1>(job, values, num_keys, p, j, nullptr, o);
}

template <int G>
SLUICE_INLINE void ScoresOf(const AttentionJob& job, const uint8_t* keys, const uint8_t* values,
                            int num_keys, const float* q, float* scores) {
  switch (job.k_type) {
    case 0:
      return Scores<KvF32, G>(job, keys, values, num_keys, q, scores);
    case 1:
      return Scores<KvF16, G>(job, keys, values, num_keys, q, scores);
    default:
      return Scores<KvQ8_0, G>(job, keys, values, num_keys, q, scores);
  }
}

template <int G>
SLUICE_INLINE void WeighOf(const AttentionJob& job, const uint8_t* values, int num_keys,
                           const float* p, const uint8_t* next, float* o) {
  switch (job.v_type) {
    case 0:
      return Weigh<KvF32, G>(job, values, num_keys, p, next, o);
    case 1:
      return Weigh<KvF16, G>(job, values, num_keys, p, next, o);
    default:
      return Weigh<KvQ8_0, G>(job, values, num_keys, p, next, o);
  }
}

// Keys [first, first + num_keys) of a block for G heads from `head` on. `next` is the page that
// follows, or null.
template <int G>
void AttendHeads(const AttentionJob& job, const uint8_t* page, const uint8_t* next, int first,
                 int num_keys, int head, const AttentionState& state) {
  // Scores and weights by place among the visible keys; then, for the sum, by place in the block.
  alignas(64) float p[G * kPageTokens];
  for (int i = 0; i < G * kPageTokens; i += 16) StoreF(ZeroF(), p + i);
  const uint8_t* const values = page + job.v_offset + first * job.v_row_bytes;
  ScoresOf<G>(job, page + job.k_offset + first * job.k_row_bytes, values, num_keys,
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
  WeighOf<G>(job, values, num_keys, p, next == nullptr ? nullptr : next + job.k_offset,
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
    const uint8_t* next = end < job.position_end
                              ? job.pages + job.page_table[end / kPageTokens] * job.page_stride
                              : nullptr;
    const bool is_first = begin == job.position_begin;
    const AttentionState& state = is_first ? job.result : job.block;
    const int first = static_cast<int>(begin % kPageTokens);
    const int num_keys = static_cast<int>(end - begin);
    int head = 0;
    for (; head + 4 <= job.group; head += 4) {
      AttendHeads<4>(job, page, next, first, num_keys, head, state);
    }
    switch (job.group - head) {
      case 3:
        AttendHeads<3>(job, page, next, first, num_keys, head, state);
        break;
      case 2:
        AttendHeads<2>(job, page, next, first, num_keys, head, state);
        break;
      case 1:
        AttendHeads<1>(job, page, next, first, num_keys, head, state);
        break;
      default:
        break;
    }
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
