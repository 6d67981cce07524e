// What the blocks of a pass have in common.
#ifndef SLUICE_RUNTIME_PASS_BLOCKS_PASS_BLOCK_H_
#define SLUICE_RUNTIME_PASS_BLOCKS_PASS_BLOCK_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "runtime/kv/kv_cache.h"
#include "runtime/kv/kv_mover.h"
#include "runtime/pass/block_rows.h"
#include "runtime/pass/products.h"
#include "runtime/pass/resident_tensors.h"
#include "runtime/pass/rope_tables.h"
#include "runtime/pass/tree_tables.h"
#include "runtime/pass/workspace.h"
#include "storage/store/layer_store.h"

namespace sluice {

// Bytes that a block takes while it runs. Blocks run one after the other and share them.
struct BlockNeeds {
  int64_t buffer_bytes = 0;   // of f32 rows that its products write and read
  int64_t logits_bytes = 0;   // of rows that outlive the pass
  int64_t scratch_bytes = 0;  // of kernels on the host, for all threads
};

// What blocks work with; all of it outlives them.
struct BlockContext {
  const LayerStore& store;
  ComputePlace* place;
  const Workspace* workspace;
  const ResidentTensors* resident;
  const RopeTables* rope;
  KvCache* kv_cache;
  KvMover* kv_mover;  // null where all pages are in memory of the place
  Products* products;
  const BlockRows* rows;
  TreeTables* tree;  // of the rows
};

// A kind of block, in a file of its own. One object serves all blocks of its kind, one after the
// other: Enter, Take for each of the block's slabs in order, Leave.
class PassBlock {
 public:
  explicit PassBlock(const BlockContext& context) : context_(context) {}
  virtual ~PassBlock() = default;

  // Begins with `block`, of the store's Program.
  absl::Status Enter(const Block& block);
  // Computes with `count` slabs of the manifest from number `slab` on, which are of one product.
  // `tiles` are their bytes, in memory of the place.
  absl::Status Take(int slab, int count, absl::Span<const std::byte> tiles);
  // Ends with the block: all that its products give is there, or queued.
  absl::Status Leave() { return context_.products->Collect(); }

 protected:
  const BlockContext& context() const { return context_; }
  const Manifest& manifest() const { return context_.store.manifest(); }

  // Adds the buffers that the block has for itself.
  virtual void Lay(const Block& block, PassBuffers* buffers) = 0;
  // Makes what `buffer` holds of what products have written, before the first product reads it.
  virtual absl::Status Make(const Block& /*block*/, PassBuffer /*buffer*/) {
    return absl::OkStatus();
  }

 private:
  const BlockContext context_;
  const Block* block_ = nullptr;
  std::optional<PassBuffer> reads_;  // what the products read now
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_BLOCKS_PASS_BLOCK_H_
