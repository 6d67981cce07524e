// How one call of attention is laid out on a device: tiles of rows, heads of a block, a split over
// chunks.
#ifndef SLUICE_KERNELS_CUDA_ATTENTION_PLAN_H_
#define SLUICE_KERNELS_CUDA_ATTENTION_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/cuda/attention.h"
#include "kernels/ops.h"

namespace sluice::cuda {

// What a device offers to a plan.
struct AttentionLimits {
  int multiprocessors;
  int64_t scratch_bytes;  // for the states of chunks; one row is always let through
};

struct AttentionPlan {
  int64_t num_rows;  // of the rows given, from the first on; the others are another call's
  std::vector<AttendTile> tiles;
  int heads_each;
  int max_queries;
  int64_t split_chunks;   // 0: no split
  int64_t scratch_bytes;  // of all chunks' states
};

// A tile is rows of one page table at consecutive positions whose windows begin in order, as many
// as the queries of a block allow. Chunks are split over blocks where tiles and heads alone would
// leave multiprocessors idle, as for one token after a long context. The bits do not depend on any
// of it. `args.rows` is not empty.
AttentionPlan PlanAttention(const AttentionArgs& args, const AttentionLimits& limits);

// No plan within these limits takes more for the states of its chunks: limits.scratch_bytes, or one
// row's where these are more.
int64_t MostScratchBytes(const PassLimits& pass, const AttentionLimits& limits);

// Bytes of rows, tiles and page tables side by side, each on 256, and where they begin.
struct AttentionUpload {
  int64_t rows_at;
  int64_t tiles_at;
  int64_t tables_at;
  int64_t bytes;
  // Page tables of the rows, without doubles, one after the other: first entry of each.
  std::vector<const int32_t*> tables;
  std::vector<int64_t> table_entries;
};
AttentionUpload LayOutUpload(absl::Span<const AttentionRow> rows, const AttentionPlan& plan);

// Writes the upload to `host`, with pointers as they are at `device`.
void FillUpload(absl::Span<const AttentionRow> rows, const AttentionPlan& plan,
                const AttentionUpload& upload, const std::byte* device, std::byte* host);

}  // namespace sluice::cuda

#endif  // SLUICE_KERNELS_CUDA_ATTENTION_PLAN_H_
