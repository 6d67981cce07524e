// Runs attention over a pass's rows on the thread pool, with scratch that is allocated once.
#ifndef SLUICE_KERNELS_CPU_ATTENTION_H_
#define SLUICE_KERNELS_CPU_ATTENTION_H_

#include <cstdint>
#include <vector>

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/ops.h"

namespace sluice {

// Work is split over (KV head, tile of rows), where rows of a tile see some of the same pages: each
// is widened once for all of them. Where that is too little for the
// threads, as for one row with a long context, it is split over chunks of 512 positions too, and
// their results are merged in order: the same bits.
//
// Scratch only grows, up to ScratchBytes: 219 KB a thread for heads of 128, or 2.2 MB for 64 heads.
class CpuAttention {
 public:
  // Both must outlive this.
  CpuAttention(const KernelTable* kernels, ThreadPool* pool);

  // As Ops::Attention.
  void Run(const AttentionArgs& args, const float* q, int64_t q_stride, float* out,
           int64_t out_stride);

  // The most that Run takes for heads of `head_dim` on `num_threads` threads, whatever the rows and
  // the context.
  static int64_t ScratchBytes(int64_t num_heads, int64_t head_dim, int num_threads);
  int64_t scratch_bytes() const { return static_cast<int64_t>(scratch_.size() * sizeof(float)); }

 private:
  struct Call;  // one call's arguments and derived sizes
  struct Tile {
    int64_t first_row;
    int64_t num_rows;
  };
  class TileRun;  // a group of heads of one tile
  std::vector<Tile> Tiles(const Call& call) const;

  void RunTiles(const Call& call, const std::vector<Tile>& tiles);
  void RunChunks(const Call& call, int64_t row);
  AttentionJob Job(const Call& call, int64_t row, int64_t head, int64_t chunk) const;
  // Floats of the split over tiles, and of the split over chunks.
  static int64_t TileFloats(int64_t padded_dim, int num_threads);
  static int64_t ChunkFloats(int64_t num_heads, int64_t padded_dim, int num_threads);
  float* Scratch(int64_t floats);

  const KernelTable* const kernels_;
  ThreadPool* const pool_;
  std::vector<float> scratch_;
};

}  // namespace sluice

#endif  // SLUICE_KERNELS_CPU_ATTENTION_H_
