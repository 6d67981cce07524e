// Attention over KV pages in scalar code: its definition (docs/arithmetic.md).
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/kernels_scalar.h"
#include "kernels/cpu/scalar_math.h"
#include "kernels/encodings/encoding.h"
#include "kernels/ops.h"

namespace sluice::scalar {
namespace {

// Value i of a head's KV row of `padded_dim` values.
float KvValue(KvType type, const uint8_t* row, int64_t row_bytes, int64_t i) {
  switch (type) {
    case KvType::kF32: {
      float value;
      std::memcpy(&value, row + 4 * i, 4);
      return value;
    }
    case KvType::kF16: {
      uint16_t bits;
      std::memcpy(&bits, row + 2 * i, 2);
      return F16ToF32(bits);
    }
    case KvType::kQ8_0: {
      uint16_t bits;
      std::memcpy(&bits, row + i / 32 * 2, 2);
      const uint8_t* quants = row + row_bytes / 34 * 2;
      return F16ToF32(bits) * static_cast<float>(static_cast<int8_t>(quants[i]));
    }
  }
  return 0.0f;
}

// The visible positions [begin, end) of one block, for one head.
void AttendBlock(const AttentionJob& job, int head, int64_t begin, int64_t end,
                 const AttentionState& state) {
  const uint8_t* page = job.pages + job.page_table[begin / kKvPageTokens] * job.page_stride;
  const float* q = job.q + head * job.padded_dim;
  float p[kKvPageTokens] = {};
  float m = -std::numeric_limits<float>::infinity();
  for (int64_t position = begin; position < end; ++position) {
    const int64_t t = position % kKvPageTokens;
    const uint8_t* k = page + job.k_offset + t * job.k_row_bytes;
    Sum16 sum;
    for (int64_t i = 0; i < job.padded_dim; ++i) {
      const float value = KvValue(static_cast<KvType>(job.k_type), k, job.k_row_bytes, i);
      sum.lane(i) = std::fma(q[i], value, sum.lane(i));
    }
    p[t] = sum.Total() * job.attention_scale;
    m = std::max(m, p[t]);
  }
  Sum16 l;
  float* o = state.o + head * job.padded_dim;
  std::fill_n(o, job.padded_dim, 0.0f);
  for (int64_t position = begin; position < end; ++position) {
    const int64_t t = position % kKvPageTokens;
    p[t] = Exp(p[t] - m);
    const uint8_t* v = page + job.v_offset + t * job.v_row_bytes;
    for (int64_t i = 0; i < job.padded_dim; ++i) {
      const float value = KvValue(static_cast<KvType>(job.v_type), v, job.v_row_bytes, i);
      o[i] = std::fma(p[t], value, o[i]);
    }
  }
  for (int t = 0; t < kKvPageTokens; ++t) l.lane(t) = l.lane(t) + p[t];
  state.m[head] = m;
  state.l[head] = l.Total();
}

}  // namespace

void Attend(const AttentionJob& job) {
  for (int64_t begin = job.position_begin; begin < job.position_end;) {
    const int64_t end =
        std::min(job.position_end, (begin / kKvPageTokens + 1) * int64_t{kKvPageTokens});
    const bool first = begin == job.position_begin;
    const AttentionState& state = first ? job.result : job.block;
    for (int head = 0; head < job.group; ++head) AttendBlock(job, head, begin, end, state);
    if (!first) Merge(job.result, job.block, job.group, job.padded_dim);
    begin = end;
  }
}

void Merge(const AttentionState& into, const AttentionState& next, int group, int64_t padded_dim) {
  for (int head = 0; head < group; ++head) {
    const float m = std::max(into.m[head], next.m[head]);
    const float a = Exp(into.m[head] - m);
    const float b = Exp(next.m[head] - m);
    into.m[head] = m;
    into.l[head] = std::fma(next.l[head], b, into.l[head] * a);
    for (int64_t i = head * padded_dim; i < (head + 1) * padded_dim; ++i) {
      into.o[i] = std::fma(next.o[i], b, into.o[i] * a);
    }
  }
}

void StoreKvF32(const float* x, int64_t head_dim, uint8_t* row) {
  std::memset(row, 0, KvRowBytes(KvType::kF32, head_dim));
  std::memcpy(row, x, head_dim * sizeof(float));
}

void StoreKvF16(const float* x, int64_t head_dim, uint8_t* row) {
  std::memset(row, 0, KvRowBytes(KvType::kF16, head_dim));
  for (int64_t i = 0; i < head_dim; ++i) {
    const uint16_t bits = F32ToF16(x[i]);
    std::memcpy(row + 2 * i, &bits, 2);
  }
}

void StoreKvQ8_0(const float* x, int64_t head_dim, uint8_t* row) {
  const int64_t blocks = (head_dim + 31) / 32;
  std::memset(row, 0, blocks * 34);
  uint8_t* quants = row + 2 * blocks;
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t begin = 32 * block;
    const int64_t end = std::min(head_dim, begin + 32);
    float amax = 0.0f;
    bool finite = true;
    for (int64_t i = begin; i < end; ++i) {
      finite = finite && std::isfinite(x[i]);
      amax = std::max(amax, std::fabs(x[i]));
    }
    const uint16_t bits = finite ? F32ToF16(amax / 127.0f) : 0x7E00;
    std::memcpy(row + 2 * block, &bits, 2);
    const float scale = F16ToF32(bits);
    if (!std::isfinite(scale) || scale == 0.0f) continue;  // quants stay 0
    for (int64_t i = begin; i < end; ++i) {
      const float q = std::nearbyint(x[i] / scale);
      quants[i] = static_cast<uint8_t>(static_cast<int8_t>(std::clamp(q, -127.0f, 127.0f)));
    }
  }
}

}  // namespace sluice::scalar
