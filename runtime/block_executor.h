// Executes the blocks of a transformer decoder slab by slab: attention, MLP, head.
#ifndef SLUICE_RUNTIME_BLOCK_EXECUTOR_H_
#define SLUICE_RUNTIME_BLOCK_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/ops.h"
#include "prefetch/host_buffer.h"
#include "runtime/kv_cache.h"
#include "runtime/memory_plan.h"
#include "storage/layer_store.h"

namespace sluice {

// What a row of a pass is to a block.
struct BlockRow {
  const int32_t* pages;  // the sequence's page table
  int64_t position;
  bool wants_logits;
};

// Holds the workspace [plan.pass_rows rows] and the arithmetic that follows from a slab's tensors.
// Call order of a pass: Begin, then Slab for every slab of the manifest in order, then logits().
class BlockExecutor {
 public:
  static absl::StatusOr<std::unique_ptr<BlockExecutor>> Create(const LayerStore& store,
                                                               const MemoryPlan& plan, Ops* ops,
                                                               KvCache* kv_cache);

  // The residual stream [pass_rows, hidden_size], which the caller fills with embeddings.
  float* residual() const { return residual_; }

  // Starts a pass over `rows` (kept until the next Begin).
  void Begin(std::vector<BlockRow> rows);

  // Computes with slab number `slab` of the manifest, whose bytes are `tiles`.
  absl::Status Slab(int slab, absl::Span<const std::byte> tiles);

  // [rows that want logits, vocab_size]
  absl::Span<const float> logits() const;

 private:
  // The rows a product reads, prepared at most once in each format.
  struct Input {
    const float* x = nullptr;
    int64_t stride = 0;
    int64_t k = 0;
    int64_t num_rows = 0;
    bool prepared[3] = {};
  };

  BlockExecutor(const LayerStore& store, const MemoryPlan& plan, Ops* ops, KvCache* kv_cache);
  absl::Status AllocateBuffers(const MemoryPlan& plan);
  void FillRopeTable(int64_t context_tokens);
  // Called when the walk enters another block.
  absl::Status StartBlock(int block);
  absl::Status NormInput(TensorRole norm, int layer);
  absl::Status HeadInput();
  absl::Status Attend(int layer);
  absl::Status CheckFinite(int layer) const;
  absl::StatusOr<const std::byte*> Prepared(ActivationFormat format);
  void SetInput(const float* x, int64_t stride, int64_t k, int64_t num_rows);
  const float* Addend(TensorRole role, int layer) const;

  const LayerStore& store_;
  const Manifest& manifest_;
  const HyperParameters& h_;
  Ops* const ops_;
  KvCache* const kv_cache_;
  const int64_t q_dim_;
  const int64_t kv_dim_;

  HostBuffer buffers_[8];
  float* residual_ = nullptr;
  float* normed_ = nullptr;
  float* q_ = nullptr;         // q, k, v, attended share the block buffer with gate_
  float* k_ = nullptr;
  float* v_ = nullptr;
  float* attended_ = nullptr;
  float* gate_ = nullptr;      // [rows, intermediate_size]: silu(gate) * up once both are there
  float* logits_ = nullptr;
  float* rope_ = nullptr;      // [context, head_dim]: cosines, then sines
  std::byte* activations_[3] = {};

  std::vector<BlockRow> rows_;
  std::vector<AttentionRow> attention_rows_;
  std::vector<int64_t> positions_;
  int64_t num_logits_ = 0;
  int block_ = -1;
  bool attended_done_ = false;
  bool down_started_ = false;
  Input input_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_BLOCK_EXECUTOR_H_
