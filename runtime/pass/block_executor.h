// Carries out the blocks of a store's Program, slab by slab.
#ifndef SLUICE_RUNTIME_PASS_BLOCK_EXECUTOR_H_
#define SLUICE_RUNTIME_PASS_BLOCK_EXECUTOR_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "prefetch/io/host_buffer.h"
#include "runtime/kv/kv_cache.h"
#include "runtime/kv/kv_mover.h"
#include "runtime/pass/blocks/pass_block.h"
#include "runtime/pass/host_products.h"
#include "runtime/pass/memory_plan.h"
#include "runtime/pass/products.h"
#include "runtime/pass/resident_tensors.h"
#include "runtime/pass/rope_tables.h"
#include "runtime/pass/workspace.h"
#include "runtime/place/compute_place.h"
#include "storage/store/layer_store.h"

namespace sluice {

// Whether this slab and the one before it are one run of tiles where their bytes lie one behind the
// other.
bool ContinuesProduct(const Manifest& manifest, int slab);

// Holds what blocks work in, and an object for each kind of block. Call order of a pass: Embed for
// all rows, Begin, then Slabs for every slab of the manifest in order, one or more at a time, then
// Finish.
class BlockExecutor {
 public:
  // `place` and `kv_cache` must outlive the executor, and so must `kv_mover`, which may be null
  // where all pages are in memory of that place.
  static absl::StatusOr<std::unique_ptr<BlockExecutor>> Create(const LayerStore& store,
                                                               const MemoryPlan& plan,
                                                               ComputePlace* place,
                                                               KvCache* kv_cache,
                                                               KvMover* kv_mover = nullptr);

  // Waits for what is queued: a pass that ended early may still use the buffers.
  ~BlockExecutor();

  // Sets rows of the residual stream, from `first_row` on: `embeddings` is [rows, hidden_size].
  absl::Status Embed(int64_t first_row, absl::Span<const float> embeddings);

  // Starts a pass over `rows` (kept until the next Begin). On a device, `host_tiles` [num_slabs] or
  // empty: the slabs that the CPU computes in this pass, in host memory, valid until the pass ends;
  // empty spans for the others. As many rows as plan.host_share allows.
  absl::Status Begin(std::vector<BlockRow> rows,
                     absl::Span<const absl::Span<const std::byte>> host_tiles = {});

  // Computes with `count` slabs of the manifest, from number `slab` on. Each slab after the first
  // must continue the product of the slab before it. `tiles` are the bytes of the slabs, in memory
  // of the place. `tiles` is ignored for a slab that the CPU computes, and such a slab is passed in
  // a call of its own. Its product was started together with the products that read the same
  // activations, and is collected before an operation reads it.
  absl::Status Slabs(int slab, int count, absl::Span<const std::byte> tiles);

  // Work that is to be done beside products that take long (MatMulArgs::aside).
  void SetAside(std::function<void()> work) { products_->SetAside(std::move(work)); }
  // Whether a slab's product takes long enough for that in this pass.
  bool TakesLong(int slab) const { return products_->TakesLong(slab); }

  // Waits for what was queued and returns the logits [rows that want them, vocab_size], in host
  // memory, valid until the next pass. DataLoss: numbers that are not finite, naming the layer. On
  // the host Slabs has said so already. Unavailable: pages of the KV cache could not be written or
  // copied.
  absl::StatusOr<absl::Span<const float>> Finish();

  // After Finish: the rows behind the final norm, [rows, hidden_size], in host memory, valid until
  // the next Begin; empty where the plan does not keep them.
  absl::StatusOr<absl::Span<const float>> HiddenRows();

  // What the CPU computed for the device; null where it computes nothing.
  HostProducts* host_products() { return host_products_.get(); }
  const HostProducts* host_products() const { return host_products_.get(); }

 private:
  BlockExecutor(const LayerStore& store, const MemoryPlan& plan, ComputePlace* place,
                KvMover* kv_mover);
  absl::Status Allocate(const MemoryPlan& plan, KvCache* kv_cache);
  PassBlock& Current() const;
  // Leaves the block at work, if there is one, and enters block number `block`.
  absl::Status Enter(int block);
  // A NaN or an infinity in the residual stream stays there: one look a block finds where it arose.
  absl::Status NoteNonFinite();
  absl::Status NotFinite(int32_t note) const;

  const LayerStore& store_;
  const Manifest& manifest_;
  ComputePlace* const place_;
  KvMover* const kv_mover_;
  const Rounding rounding_;

  Workspace workspace_;
  std::unique_ptr<RopeTables> rope_;
  std::unique_ptr<ResidentTensors> resident_;
  HostBuffer host_logits_;  // what was copied from a device
  HostBuffer hidden_rows_;  // [pass_rows, hidden_size] f32, where the plan keeps them
  std::unique_ptr<HostProducts> host_products_;
  std::unique_ptr<Products> products_;
  std::array<std::unique_ptr<PassBlock>, kNumBlockKinds> blocks_;  // by kind

  BlockRows rows_;
  TreeTables tree_;
  int block_ = -1;  // at work; -1: none yet in this pass
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_BLOCK_EXECUTOR_H_
