// Executes the blocks of a transformer decoder slab by slab: attention, MLP, head.
#ifndef SLUICE_RUNTIME_PASS_BLOCK_EXECUTOR_H_
#define SLUICE_RUNTIME_PASS_BLOCK_EXECUTOR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/ops.h"
#include "prefetch/io/host_buffer.h"
#include "runtime/kv/kv_cache.h"
#include "runtime/kv/kv_mover.h"
#include "runtime/pass/host_products.h"
#include "runtime/pass/memory_plan.h"
#include "runtime/place/compute_place.h"
#include "storage/store/layer_store.h"

namespace sluice {

// What a row of a pass is to a block.
struct BlockRow {
  const int32_t* pages;  // the sequence's page table
  int64_t position;
  bool wants_logits;
};

// Whether this slab and the one before it are one run of tiles where their bytes lie one behind the
// other.
bool ContinuesProduct(const Manifest& manifest, int slab);

// Holds the workspace [plan.pass_rows rows] and the arithmetic that follows from a slab's tensors.
// Call order of a pass: Embed for all rows, Begin, then Slabs for every slab of the manifest in
// order, one or more at a time, then Finish.
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
  void SetAside(std::function<void()> work) { aside_ = std::move(work); }
  // Whether a slab's product takes long enough for that in this pass.
  bool TakesLong(int slab) const;

  // Waits for what was queued and returns the logits [rows that want them, vocab_size], in host
  // memory, valid until the next pass. DataLoss: numbers that are not finite, naming the layer. On
  // the host Slab says so already. Unavailable: pages of the KV cache could not be written or
  // copied.
  absl::StatusOr<absl::Span<const float>> Finish();

  // What the CPU computed for the device; null where it computes nothing.
  HostProducts* host_products() { return host_products_.get(); }
  const HostProducts* host_products() const { return host_products_.get(); }

 private:
  // The rows that a product reads, prepared at most once in each format. They are rows of the
  // residual stream, which are normed first, or rows of the block buffer, which are prepared in
  // place.
  struct Input {
    const float* norm = nullptr;  // weights of the norm; null: the block buffer's rows
    bool logit_rows = false;      // of the residual stream: only the rows that want logits
    int64_t k = 0;
    int64_t num_rows = 0;
    const std::byte* prepared[kNumActivationFormats] = {};
  };

  BlockExecutor(const LayerStore& store, const MemoryPlan& plan, ComputePlace* place,
                KvCache* kv_cache, KvMover* kv_mover);
  absl::Status AllocateBuffers(const MemoryPlan& plan);
  absl::Status FillRopeTable(int64_t context_tokens);
  // Copies norms and biases to the place, where it is not the host.
  absl::Status PlaceResident();
  // If this slab is the first one that reads another input, sets input_ and the input before it,
  // and returns true.
  absl::StatusOr<bool> EnterInput(const ManifestSlab& slab);
  // Starts the CPU's products of the slabs that read input_, of which this is the first.
  absl::Status StartHostProducts(int slab);
  absl::Status CollectHostProducts();
  // Whether the slab is of the second matrix of a product, alone.
  bool EndsInFirst(int slab) const;
  bool ByHost(int slab) const { return !host_tiles_.empty() && !host_tiles_[slab].empty(); }
  // All but `tiles` and `activations`. `on_host`: with addends in host memory.
  MatMulArgs ProductOf(int slab, bool on_host) const;
  float* RowsOf(PassBuffer buffer) const;
  // `count` rows of the input, from `first` on, as floats.
  absl::StatusOr<const float*> InputTile(int64_t first, int64_t count);
  absl::Status Attend(int layer, const AttentionSpec& attention);
  // A NaN or an infinity in the residual stream stays there: one look a block finds where it arose.
  absl::Status NoteNonFinite();
  absl::Status NotFinite(int32_t note) const;
  absl::StatusOr<const std::byte*> Prepared(ActivationFormat format);
  // A norm's weights or a bias, in memory of the place, or of the host; null where the model has
  // none.
  const float* Resident(TensorRole role, int layer, bool on_host = false) const;

  const LayerStore& store_;
  const Manifest& manifest_;
  const HyperParameters& h_;
  ComputePlace* const place_;
  Ops* const ops_;
  KvCache* const kv_cache_;
  KvMover* const kv_mover_;
  const int64_t q_dim_;
  const int64_t kv_dim_;
  const Rounding rounding_;

  DeviceRange buffers_[6];
  DeviceRange activation_buffers_[kNumActivationFormats];
  DeviceRange resident_memory_;  // resident.bin, on a device
  HostBuffer host_logits_;       // what was copied from there
  float* residual_ = nullptr;
  float* normed_ = nullptr;    // [a tile of rows, hidden_size]
  float* attended_ = nullptr;  // attended, q, k, v share the block buffer with gate_
  float* q_ = nullptr;
  float* k_ = nullptr;
  float* v_ = nullptr;
  float* gate_ = nullptr;  // [rows, intermediate_size]: silu(gate) * up once both are there
  float* logits_ = nullptr;
  float* rope_ = nullptr;    // [context, head_dim]: cosines, then sines
  int32_t* note_ = nullptr;  // Ops::NoteNonFinite: 0 the embedding, 1 + layer

  std::vector<BlockRow> rows_;
  std::vector<AttentionRow> attention_rows_;
  std::vector<int64_t> positions_;
  std::vector<int64_t> logit_rows_;  // indices of the rows that want logits
  int block_ = -1;
  PassBuffer reads_ = PassBuffer::kNormed;  // what input_ is, in block_
  Input input_;
  std::function<void()> aside_;
  absl::Span<const absl::Span<const std::byte>> host_tiles_;
  std::vector<HostProducts::Product> started_;   // reused
  std::unique_ptr<HostProducts> host_products_;  // its thread ends before all else goes
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_BLOCK_EXECUTOR_H_
