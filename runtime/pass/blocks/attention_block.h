// Causal attention of a layer, between its products.
#ifndef SLUICE_RUNTIME_PASS_BLOCKS_ATTENTION_BLOCK_H_
#define SLUICE_RUNTIME_PASS_BLOCKS_ATTENTION_BLOCK_H_

#include <vector>

#include "absl/status/status.h"
#include "kernels/ops.h"
#include "runtime/pass/blocks/pass_block.h"

namespace sluice {

// Products write q, k and v; k and v go to the KV cache, and attention makes of all of it what the
// output projection reads.
class AttentionBlock : public PassBlock {
 public:
  static BlockNeeds Needs(const Block& block, const ModelSpec& model, const PassSize& size);

  explicit AttentionBlock(const BlockContext& context) : PassBlock(context) {}

 protected:
  void Lay(const Block& block, PassBuffers* buffers) override;
  absl::Status Make(const Block& block, PassBuffer buffer) override;

 private:
  absl::Status Attend(int layer, const AttentionSpec& attention);
  // Stores keys and values at the rows' slots.
  absl::Status Append(AttentionArgs args, const AttentionSpec& attention);

  // [rows, q_dim], [rows, kv_dim]
  float* attended_ = nullptr;
  float* q_ = nullptr;
  float* k_ = nullptr;
  float* v_ = nullptr;
  std::vector<AttentionRow> rows_;      // of the pass, as the layer sees them
  std::vector<AttentionRow> appended_;  // the same, each at its slot
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_BLOCKS_ATTENTION_BLOCK_H_
