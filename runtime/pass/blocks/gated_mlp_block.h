// The gated MLP of a layer.
#ifndef SLUICE_RUNTIME_PASS_BLOCKS_GATED_MLP_BLOCK_H_
#define SLUICE_RUNTIME_PASS_BLOCKS_GATED_MLP_BLOCK_H_

#include "runtime/pass/blocks/pass_block.h"

namespace sluice {

// The epilogues of its products do all that there is besides them.
class GatedMlpBlock : public PassBlock {
 public:
  static BlockNeeds Needs(const Block& block, const ModelSpec& model, const PassSize& size);

  explicit GatedMlpBlock(const BlockContext& context) : PassBlock(context) {}

 protected:
  void Lay(const Block& block, PassBuffers* buffers) override;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_BLOCKS_GATED_MLP_BLOCK_H_
