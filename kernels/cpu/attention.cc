// Splits attention into jobs of one chunk for one group of heads, and merges their results in
// order.
#include "kernels/cpu/attention.h"

#include <algorithm>
#include <atomic>

namespace sluice {
namespace {

constexpr int64_t kChunkTokens = 8 * kKvPageTokens;
// Chunks whose results wait to be merged, at most.
constexpr int64_t kWaveChunks = 64;
// Below so many (row, group) items a thread, chunks are split too.
constexpr int64_t kItemsPerThread = 4;

AttentionState StateAt(float* scratch, int64_t heads) {
  return {.m = scratch, .l = scratch + heads, .o = scratch + 2 * heads};
}

}  // namespace

struct CpuAttention::Call {
  const AttentionArgs& args;
  const float* q;
  int64_t q_stride;
  float* out;
  int64_t out_stride;
  int64_t head_dim;
  int64_t padded_dim;
  int64_t heads_per_kv;
  int64_t groups_per_kv;  // groups of at most kMaxHeadGroup heads
  int64_t num_groups;

  int64_t FirstHead(int64_t group) const {
    return group / groups_per_kv * heads_per_kv + group % groups_per_kv * kMaxHeadGroup;
  }
  int GroupSize(int64_t group) const {
    const int64_t left = heads_per_kv - group % groups_per_kv * kMaxHeadGroup;
    return static_cast<int>(std::min<int64_t>(left, kMaxHeadGroup));
  }
  // [group size][padded_dim] with zeros beyond head_dim.
  void CopyQuery(int64_t row, int64_t first_head, int64_t heads, float* to) const {
    for (int64_t head = 0; head < heads; ++head) {
      const float* from = q + row * q_stride + (first_head + head) * head_dim;
      std::copy_n(from, head_dim, to + head * padded_dim);
      std::fill_n(to + head * padded_dim + head_dim, padded_dim - head_dim, 0.0f);
    }
  }
  void Finish(int64_t row, int64_t first_head, int heads, const AttentionState& state) const {
    for (int head = 0; head < heads; ++head) {
      float* to = out + row * out_stride + (first_head + head) * head_dim;
      const float* o = state.o + head * padded_dim;
      for (int64_t i = 0; i < head_dim; ++i) to[i] = o[i] / state.l[head];
    }
  }
  int64_t FirstChunk(int64_t row) const { return args.rows[row].first_visible / kChunkTokens; }
  int64_t LastChunk(int64_t row) const { return args.rows[row].position / kChunkTokens; }
};

CpuAttention::CpuAttention(const KernelTable* kernels, ThreadPool* pool)
    : kernels_(kernels), pool_(pool) {}

float* CpuAttention::Scratch(int64_t floats) {
  if (static_cast<int64_t>(scratch_.size()) < floats) scratch_.resize(floats);
  return scratch_.data();
}

AttentionJob CpuAttention::Job(const Call& call, int64_t row, int64_t group, int64_t chunk) const {
  const AttentionArgs& args = call.args;
  const AttentionRow& of = args.rows[row];
  const int64_t k_row_bytes = KvRowBytes(args.kv.k_type, call.head_dim);
  const int64_t v_row_bytes = KvRowBytes(args.kv.v_type, call.head_dim);
  const int64_t kv_head = group / call.groups_per_kv;
  const int64_t k_offset = kv_head * kKvPageTokens * (k_row_bytes + v_row_bytes);
  return {
      .pages = reinterpret_cast<const uint8_t*>(args.pages),
      .page_stride = args.page_stride,
      .page_table = of.page_table,
      .k_offset = k_offset,
      .v_offset = k_offset + kKvPageTokens * k_row_bytes,
      .k_row_bytes = k_row_bytes,
      .v_row_bytes = v_row_bytes,
      .k_type = static_cast<int>(args.kv.k_type),
      .v_type = static_cast<int>(args.kv.v_type),
      .position_begin = std::max(of.first_visible, chunk * kChunkTokens),
      .position_end = std::min(of.position + 1, (chunk + 1) * kChunkTokens),
      .group = call.GroupSize(group),
      .padded_dim = call.padded_dim,
      .q = nullptr,
      .attention_scale = args.attention_scale,
      .result = {},
      .block = {},
  };
}

void CpuAttention::RunRows(const Call& call) {
  const int64_t state_floats = kMaxHeadGroup * (call.padded_dim + 2);
  const int64_t thread_floats = kMaxHeadGroup * call.padded_dim + 3 * state_floats;
  float* const scratch = Scratch(pool_->num_threads() * thread_floats);
  const int64_t num_rows = static_cast<int64_t>(call.args.rows.size());
  std::atomic<int64_t> next = 0;
  // One range a thread, so that its begin names the thread's scratch. Rows of one group follow one
  // another: rows of one sequence then find its keys in the cache.
  pool_->Run(pool_->num_threads(), 1, [&](int64_t slot, int64_t) {
    float* const q = scratch + slot * thread_floats;
    const AttentionState total = StateAt(q + kMaxHeadGroup * call.padded_dim, kMaxHeadGroup);
    const AttentionState chunk_state = StateAt(total.m + state_floats, kMaxHeadGroup);
    const AttentionState block = StateAt(chunk_state.m + state_floats, kMaxHeadGroup);
    for (int64_t item; (item = next.fetch_add(1)) < call.num_groups * num_rows;) {
      const int64_t group = item / num_rows;
      const int64_t row = item % num_rows;
      const int heads = call.GroupSize(group);
      call.CopyQuery(row, call.FirstHead(group), heads, q);
      for (int64_t chunk = call.FirstChunk(row); chunk <= call.LastChunk(row); ++chunk) {
        const bool first = chunk == call.FirstChunk(row);
        AttentionJob job = Job(call, row, group, chunk);
        job.q = q;
        job.result = first ? total : chunk_state;
        job.block = block;
        kernels_->attend(job);
        if (!first) kernels_->merge(total, chunk_state, heads, call.padded_dim);
      }
      call.Finish(row, call.FirstHead(group), heads, total);
    }
  });
}

void CpuAttention::RunChunks(const Call& call, int64_t row) {
  const int64_t num_heads = call.args.num_heads;
  const int64_t head_floats = call.padded_dim + 2;
  const int64_t slot_floats = num_heads * head_floats;
  const int64_t block_floats = kMaxHeadGroup * head_floats;
  const int threads = pool_->num_threads();
  float* const q = Scratch(num_heads * call.padded_dim + (1 + kWaveChunks) * slot_floats +
                           threads * block_floats);
  float* const slots = q + num_heads * call.padded_dim;
  float* const blocks = slots + (1 + kWaveChunks) * slot_floats;
  call.CopyQuery(row, 0, num_heads, q);
  // Slot 0 holds the first chunk's state and takes in the others; the state of a group of heads is
  // one piece of a slot.
  const auto group_state = [&](int64_t slot, int64_t group) {
    return StateAt(slots + slot * slot_floats + call.FirstHead(group) * head_floats,
                   call.GroupSize(group));
  };
  const int64_t first = call.FirstChunk(row);
  const int64_t end = call.LastChunk(row) + 1;
  for (int64_t wave = first; wave < end; wave += kWaveChunks) {
    const int64_t wave_chunks = std::min(kWaveChunks, end - wave);
    const auto slot_of = [&](int64_t chunk) { return chunk == first ? 0 : 1 + chunk - wave; };
    std::atomic<int64_t> next = 0;
    pool_->Run(threads, 1, [&](int64_t thread, int64_t) {
      for (int64_t item; (item = next.fetch_add(1)) < call.num_groups * wave_chunks;) {
        const int64_t chunk = wave + item / call.num_groups;
        const int64_t group = item % call.num_groups;
        AttentionJob job = Job(call, row, group, chunk);
        job.q = q + call.FirstHead(group) * call.padded_dim;
        job.result = group_state(slot_of(chunk), group);
        job.block = StateAt(blocks + thread * block_floats, kMaxHeadGroup);
        kernels_->attend(job);
      }
    });
    pool_->Run(call.num_groups, 1, [&](int64_t begin_group, int64_t end_group) {
      for (int64_t group = begin_group; group < end_group; ++group) {
        const AttentionState total = group_state(0, group);
        const int heads = call.GroupSize(group);
        for (int64_t chunk = wave; chunk < wave + wave_chunks; ++chunk) {
          if (chunk == first) continue;
          kernels_->merge(total, group_state(slot_of(chunk), group), heads, call.padded_dim);
        }
        if (wave + wave_chunks == end) call.Finish(row, call.FirstHead(group), heads, total);
      }
    });
  }
}

void CpuAttention::Run(const AttentionArgs& args, const float* q, int64_t q_stride, float* out,
                       int64_t out_stride) {
  const int64_t num_rows = static_cast<int64_t>(args.rows.size());
  if (num_rows == 0) return;
  const int64_t heads_per_kv = args.num_heads / args.kv.num_kv_heads;
  const int64_t groups_per_kv = (heads_per_kv + kMaxHeadGroup - 1) / kMaxHeadGroup;
  const Call call = {
      .args = args,
      .q = q,
      .q_stride = q_stride,
      .out = out,
      .out_stride = out_stride,
      .head_dim = args.kv.head_dim,
      .padded_dim = (args.kv.head_dim + 15) / 16 * 16,
      .heads_per_kv = heads_per_kv,
      .groups_per_kv = groups_per_kv,
      .num_groups = args.kv.num_kv_heads * groups_per_kv,
  };
  const int threads = pool_->num_threads();
  if (threads == 1 || num_rows * call.num_groups >= kItemsPerThread * threads) {
    RunRows(call);
    return;
  }
  for (int64_t row = 0; row < num_rows; ++row) RunChunks(call, row);
}

}  // namespace sluice
