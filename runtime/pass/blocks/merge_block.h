// What a head that drafts begins with: hidden rows of a model, merged with embeddings.
#ifndef SLUICE_RUNTIME_PASS_BLOCKS_MERGE_BLOCK_H_
#define SLUICE_RUNTIME_PASS_BLOCKS_MERGE_BLOCK_H_

#include "absl/status/status.h"
#include "runtime/pass/blocks/pass_block.h"

namespace sluice {

// Its product reads, for each row, hidden_norm(BlockRow::hidden) and then token_norm(embedding),
// and puts the result in the embedding's place.
class MergeBlock : public PassBlock {
 public:
  static BlockNeeds Needs(const ModelSpec& model, const PassSize& size);

  explicit MergeBlock(const BlockContext& context) : PassBlock(context) {}

 protected:
  void Lay(const Block& block, PassBuffers* buffers) override;
  absl::Status Make(const Block& block, PassBuffer buffer) override;

 private:
  float* merged_ = nullptr;  // [rows, 2 * hidden_size]
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_BLOCKS_MERGE_BLOCK_H_
