// Splits attention into tiles of rows, or into jobs of one chunk, for one group of heads, and
// merges their results in order.
#include "kernels/cpu/attention.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "kernels/base/align.h"

namespace sluice {
namespace {

constexpr int64_t kChunkBlocks = 8;
constexpr int64_t kChunkTokens = kChunkBlocks * kKvPageTokens;
// Queries (rows x heads) that share a widened block, at most.
constexpr int64_t kTileQueries = 96;
// Chunks whose results wait to be merged, at most.
constexpr int64_t kWaveChunks = 64;
// Below so many (row, group) items a thread, chunks are split too.
constexpr int64_t kItemsPerThread = 4;

// Whether two rows see some of the same pages: rows of a sequence do, and those of others that
// begin alike.
bool SharePages(const AttentionRow& a, const AttentionRow& b) {
  const int64_t first = std::max(a.first_visible, b.first_visible) / kKvPageTokens;
  const int64_t last = std::min(a.position, b.position) / kKvPageTokens;
  return first <= last && a.page_table[first] == b.page_table[first];
}

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
  if (static_cast<int64_t>(scratch_.size()) < floats) {
    std::vector<float>().swap(scratch_);  // else both would be there while one is copied
    scratch_.resize(floats);
  }
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

// One thread's scratch and its walk over the keys of one tile.
class CpuAttention::TileRun {
 public:
  static int64_t Floats(int64_t padded_dim) {
    return 2 * kKvPageTokens * padded_dim + kTileQueries * (3 * padded_dim + 4) +
           kMaxHeadGroup * (padded_dim + 2);
  }

  TileRun(const CpuAttention& attention, const Call& call, float* scratch)
      : attention_(attention), kernels_(*attention.kernels_), call_(call), keys_(scratch) {
    values_ = keys_ + kKvPageTokens * call.padded_dim;
    q_ = values_ + kKvPageTokens * call.padded_dim;
    totals_ = q_ + kTileQueries * call.padded_dim;
    chunks_ = totals_ + kTileQueries * (call.padded_dim + 2);
    block_ = chunks_ + kTileQueries * (call.padded_dim + 2);
  }

  void Run(const Tile& tile, int64_t group) {
    tile_ = tile;
    group_ = group;
    heads_ = call_.GroupSize(group);
    int64_t first_chunk = call_.FirstChunk(tile.first_row);
    int64_t last_chunk = call_.LastChunk(tile.first_row);
    for (int64_t i = 0; i < tile.num_rows; ++i) {
      call_.CopyQuery(tile.first_row + i, call_.FirstHead(group), heads_, Query(i));
      first_chunk = std::min(first_chunk, call_.FirstChunk(tile.first_row + i));
      last_chunk = std::max(last_chunk, call_.LastChunk(tile.first_row + i));
    }
    for (int64_t chunk = first_chunk; chunk <= last_chunk; ++chunk) {
      if (tile.num_rows == 1 || kernels_.attend_tile == nullptr) {
        for (int64_t i = 0; i < tile.num_rows; ++i) RunRow(i, chunk);
      } else {
        for (int64_t block = chunk * kChunkBlocks; block < (chunk + 1) * kChunkBlocks; ++block) {
          RunBlock(chunk, block);
        }
      }
      for (int64_t i = 0; i < tile.num_rows; ++i) {
        const int64_t row = tile.first_row + i;
        if (chunk <= call_.FirstChunk(row) || chunk > call_.LastChunk(row)) continue;
        kernels_.merge(State(totals_, i), State(chunks_, i), heads_, call_.padded_dim);
      }
    }
    for (int64_t i = 0; i < tile.num_rows; ++i) {
      call_.Finish(tile.first_row + i, call_.FirstHead(group), heads_, State(totals_, i));
    }
  }

 private:
  float* Query(int64_t i) const { return q_ + i * heads_ * call_.padded_dim; }
  AttentionState State(float* states, int64_t i) const {
    return StateAt(states + i * heads_ * (call_.padded_dim + 2), heads_);
  }
  // Where row i's share of a chunk goes.
  AttentionState ChunkState(int64_t i, int64_t chunk) const {
    return State(chunk == call_.FirstChunk(tile_.first_row + i) ? totals_ : chunks_, i);
  }

  void RunRow(int64_t i, int64_t chunk) {
    const int64_t row = tile_.first_row + i;
    if (chunk < call_.FirstChunk(row) || chunk > call_.LastChunk(row)) return;
    AttentionJob job = attention_.Job(call_, row, group_, chunk);
    job.q = Query(i);
    job.result = ChunkState(i, chunk);
    job.block = StateAt(block_, heads_);
    kernels_.attend(job);
  }

  // Places of a block that row i sees.
  struct Seen {
    int first;
    int end;
    bool any() const { return first < end; }
  };
  Seen SeenOf(int64_t i, int64_t block) const {
    const AttentionRow& row = call_.args.rows[tile_.first_row + i];
    const int64_t begin = block * kKvPageTokens;
    return {static_cast<int>(std::max<int64_t>(0, row.first_visible - begin)),
            static_cast<int>(std::min<int64_t>(kKvPageTokens, row.position + 1 - begin))};
  }

  // Rows of a tile share most pages, but not all where they are of a tree.
  void RunBlock(int64_t chunk, int64_t block) {
    const auto page = [&](int64_t i) {
      return call_.args.rows[tile_.first_row + i].page_table[block];
    };
    for (int64_t i = 0; i < tile_.num_rows;) {
      int64_t end = i + 1;
      if (SeenOf(i, block).any()) {
        while (end < tile_.num_rows && (!SeenOf(end, block).any() || page(end) == page(i))) ++end;
        RunPage(chunk, block, i, end);
      }
      i = end;
    }
  }

  // Of the rows from first_row to last_row - 1, which see the same page, where they see it at all.
  void RunPage(int64_t chunk, int64_t block, int64_t first_row, int64_t last_row) {
    int first = kKvPageTokens;
    int end = 0;
    for (int64_t i = first_row; i < last_row; ++i) {
      const Seen seen = SeenOf(i, block);
      if (!seen.any()) continue;
      first = std::min(first, seen.first);
      end = std::max(end, seen.end);
    }
    AttentionJob job = attention_.Job(call_, tile_.first_row + first_row, group_, chunk);
    kernels_.widen_block(job, block, first, end, keys_, values_);
    for (int64_t i = first_row; i < last_row; ++i) {
      const Seen seen = SeenOf(i, block);
      if (!seen.any()) continue;
      const int64_t chunk_first =
          std::max(call_.args.rows[tile_.first_row + i].first_visible, chunk * kChunkTokens);
      const bool is_first = block == chunk_first / kKvPageTokens;
      const AttentionState state = ChunkState(i, chunk);
      job.q = Query(i);
      job.result = is_first ? state : StateAt(block_, heads_);
      kernels_.attend_tile(job, keys_, values_, seen.first, seen.end);
      if (!is_first) kernels_.merge(state, job.result, heads_, call_.padded_dim);
    }
  }

  const CpuAttention& attention_;
  const KernelTable& kernels_;
  const Call& call_;
  float* keys_;    // [padded_dim][64]
  float* values_;  // [64][padded_dim]
  float* q_;       // [row][heads][padded_dim]
  float* totals_;  // [row] states of a group
  float* chunks_;  // [row] states of a group
  float* block_;   // a state of a group
  Tile tile_ = {};
  int64_t group_ = 0;
  int heads_ = 0;
};

std::vector<CpuAttention::Tile> CpuAttention::Tiles(const Call& call) const {
  const absl::Span<const AttentionRow> rows = call.args.rows;
  const auto num_rows = static_cast<int64_t>(rows.size());
  // Shorter ones where there are many threads to feed.
  const int64_t most =
      std::clamp<int64_t>(num_rows * call.num_groups / (kItemsPerThread * pool_->num_threads()), 1,
                          kTileQueries / std::min<int64_t>(call.heads_per_kv, kMaxHeadGroup));
  std::vector<Tile> tiles;
  for (int64_t row = 0; row < num_rows; ++row) {
    if (!tiles.empty() && tiles.back().num_rows < most && SharePages(rows[row - 1], rows[row])) {
      ++tiles.back().num_rows;
    } else {
      tiles.push_back({row, 1});
    }
  }
  return tiles;
}

int64_t CpuAttention::TileFloats(int64_t padded_dim, int num_threads) {
  return num_threads * TileRun::Floats(padded_dim);
}

int64_t CpuAttention::ChunkFloats(int64_t num_heads, int64_t padded_dim, int num_threads) {
  const int64_t head_floats = padded_dim + 2;
  return num_heads * padded_dim + (1 + kWaveChunks) * num_heads * head_floats +
         num_threads * kMaxHeadGroup * head_floats;
}

int64_t CpuAttention::ScratchBytes(int64_t num_heads, int64_t head_dim, int num_threads) {
  const int64_t padded_dim = RoundUp(head_dim, 16);
  return static_cast<int64_t>(sizeof(float)) *
         std::max(TileFloats(padded_dim, num_threads),
                  ChunkFloats(num_heads, padded_dim, num_threads));
}

void CpuAttention::RunTiles(const Call& call, const std::vector<Tile>& tiles) {
  const int64_t thread_floats = TileRun::Floats(call.padded_dim);
  float* const scratch = Scratch(TileFloats(call.padded_dim, pool_->num_threads()));
  const auto num_tiles = static_cast<int64_t>(tiles.size());
  std::atomic<int64_t> next = 0;
  // One range a thread, so that its begin names the thread's scratch. The last tiles of a prompt
  // see the most keys and go first, so that the threads end together.
  pool_->Run(pool_->num_threads(), 1, [&](int64_t slot, int64_t) {
    TileRun run(*this, call, scratch + slot * thread_floats);
    for (int64_t item; (item = next.fetch_add(1)) < call.num_groups * num_tiles;) {
      run.Run(tiles[num_tiles - 1 - item / call.num_groups], item % call.num_groups);
    }
  });
}

void CpuAttention::RunChunks(const Call& call, int64_t row) {
  const int64_t num_heads = call.args.num_heads;
  const int64_t head_floats = call.padded_dim + 2;
  const int64_t slot_floats = num_heads * head_floats;
  const int64_t block_floats = kMaxHeadGroup * head_floats;
  const int threads = pool_->num_threads();
  float* const q = Scratch(ChunkFloats(num_heads, call.padded_dim, threads));
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
    RunTiles(call, Tiles(call));
    return;
  }
  for (int64_t row = 0; row < num_rows; ++row) RunChunks(call, row);
}

}  // namespace sluice
