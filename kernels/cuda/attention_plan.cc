// Tiles, splits and uploads of attention; no call of CUDA in here.
#include "kernels/cuda/attention_plan.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/align.h"

namespace sluice::cuda {
namespace {

// Blocks that a multiprocessor should have at least before chunks stay together.
constexpr int64_t kBlocksEach = 2;

int64_t ChunksOf(const AttentionRow& first, const AttentionRow& last) {
  return last.position / kAttentionChunk - first.first_visible / kAttentionChunk + 1;
}

// How queries are dealt out to blocks.
struct Blocks {
  int heads_each;
  int rows_each;   // of a tile, at most
  int64_t groups;  // blocks a tile
};
Blocks BlocksOf(int64_t num_heads, const KvShape& kv) {
  const int max_queries = MaxQueries(kv.head_dim);
  const int64_t heads_per_kv = num_heads / kv.num_kv_heads;
  const int heads_each = static_cast<int>(std::min<int64_t>(heads_per_kv, max_queries));
  return {.heads_each = heads_each,
          .rows_each = max_queries / heads_each,
          .groups = kv.num_kv_heads * ((heads_per_kv + heads_each - 1) / heads_each)};
}

// Of a row's states, as AttendJob has them.
int64_t StateBytes(int64_t num_heads, int64_t chunks, int64_t head_dim) {
  return num_heads * chunks * (RoundUp(head_dim, 16) + 2) * static_cast<int64_t>(sizeof(float));
}

// UploadBufferBytes (kernels/ops.h) counts with these.
static_assert(sizeof(AttendRow) == 24 && sizeof(AttendTile) == 8);

}  // namespace

AttentionPlan PlanAttention(const AttentionArgs& args, const AttentionLimits& limits) {
  const auto [heads_each, rows_each, groups] = BlocksOf(args.num_heads, args.kv);
  AttentionPlan plan = {};
  plan.heads_each = heads_each;
  int64_t chunks = 0;
  for (int64_t row = 0; row < static_cast<int64_t>(args.rows.size()); ++row) {
    const AttentionRow& of = args.rows[row];
    const bool joins = !plan.tiles.empty() && plan.tiles.back().num_rows < rows_each &&
                       of.page_table == args.rows[row - 1].page_table &&
                       of.position == args.rows[row - 1].position + 1 &&
                       of.first_visible >= args.rows[row - 1].first_visible;
    if (joins) {
      ++plan.tiles.back().num_rows;
    } else {
      plan.tiles.push_back({static_cast<int32_t>(row), 1});
    }
    chunks = std::max(chunks, ChunksOf(args.rows[plan.tiles.back().first_row], of));
    plan.max_queries = std::max(plan.max_queries, plan.tiles.back().num_rows * plan.heads_each);
  }
  plan.num_rows = static_cast<int64_t>(args.rows.size());

  const int64_t blocks = static_cast<int64_t>(plan.tiles.size()) * groups;
  if (chunks == 1 || blocks >= kBlocksEach * limits.multiprocessors) return plan;
  plan.split_chunks = chunks;
  const int64_t row_bytes = StateBytes(args.num_heads, chunks, args.kv.head_dim);
  // Tiles from the end, and rows of the first, are left to the next call until the rest fits.
  while (plan.tiles.size() > 1 && plan.num_rows * row_bytes > limits.scratch_bytes) {
    plan.num_rows = plan.tiles.back().first_row;
    plan.tiles.pop_back();
  }
  if (plan.num_rows * row_bytes > limits.scratch_bytes) {
    plan.num_rows = std::max<int64_t>(1, limits.scratch_bytes / row_bytes);
    plan.tiles[0].num_rows = static_cast<int32_t>(plan.num_rows);
  }
  plan.scratch_bytes = plan.num_rows * row_bytes;
  return plan;
}

int64_t MostScratchBytes(const PassLimits& pass, const AttentionLimits& limits) {
  const int64_t chunks = (pass.context_tokens + kAttentionChunk - 1) / kAttentionChunk;
  const auto [heads_each, rows_each, groups] = BlocksOf(pass.num_heads, pass.kv);
  // More tiles than these keep the multiprocessors busy without a split.
  const int64_t tiles = (kBlocksEach * limits.multiprocessors - 1) / groups;
  if (chunks == 1 || tiles == 0) return 0;
  const int64_t row_bytes = StateBytes(pass.num_heads, chunks, pass.kv.head_dim);
  return std::max(row_bytes, std::min(std::min(pass.rows, tiles * rows_each) * row_bytes,
                                      limits.scratch_bytes));
}

AttentionUpload LayOutUpload(absl::Span<const AttentionRow> rows, const AttentionPlan& plan) {
  AttentionUpload upload = {};
  upload.tiles_at = RoundUp(plan.num_rows * static_cast<int64_t>(sizeof(AttendRow)), 256);
  upload.tables_at =
      upload.tiles_at + RoundUp(static_cast<int64_t>(plan.tiles.size() * sizeof(AttendTile)), 256);
  int64_t entries = 0;
  for (const AttentionRow& row : rows.subspan(0, plan.num_rows)) {
    const int64_t needed = row.position / kKvPageTokens + 1;
    const auto found = std::find(upload.tables.rbegin(), upload.tables.rend(), row.page_table);
    if (found == upload.tables.rend()) {
      upload.tables.push_back(row.page_table);
      upload.table_entries.push_back(needed);
      entries += needed;
    } else {
      int64_t& known = upload.table_entries[upload.tables.rend() - found - 1];
      entries += std::max<int64_t>(0, needed - known);
      known = std::max(known, needed);
    }
  }
  upload.bytes = upload.tables_at + entries * static_cast<int64_t>(sizeof(int32_t));
  return upload;
}

void FillUpload(absl::Span<const AttentionRow> rows, const AttentionPlan& plan,
                const AttentionUpload& upload, const std::byte* device, std::byte* host) {
  std::vector<int64_t> table_at;  // bytes from the beginning
  int64_t at = upload.tables_at;
  for (size_t i = 0; i < upload.tables.size(); ++i) {
    table_at.push_back(at);
    const int64_t bytes = upload.table_entries[i] * static_cast<int64_t>(sizeof(int32_t));
    std::memcpy(host + at, upload.tables[i], bytes);
    at += bytes;
  }
  auto* const to = reinterpret_cast<AttendRow*>(host + upload.rows_at);
  for (int64_t row = 0; row < plan.num_rows; ++row) {
    const auto found =
        std::find(upload.tables.rbegin(), upload.tables.rend(), rows[row].page_table);
    const int64_t table = upload.tables.rend() - found - 1;
    to[row] = {.page_table = reinterpret_cast<const int32_t*>(device + table_at[table]),
               .position = rows[row].position,
               .first_visible = rows[row].first_visible};
  }
  std::memcpy(host + upload.tiles_at, plan.tiles.data(), plan.tiles.size() * sizeof(AttendTile));
}

}  // namespace sluice::cuda
