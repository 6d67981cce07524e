// The head: logits of the rows that want them.
#ifndef SLUICE_RUNTIME_PASS_BLOCKS_HEAD_BLOCK_H_
#define SLUICE_RUNTIME_PASS_BLOCKS_HEAD_BLOCK_H_

#include "runtime/pass/blocks/pass_block.h"

namespace sluice {

class HeadBlock : public PassBlock {
 public:
  static BlockNeeds Needs(const ModelSpec& model, const PassSize& size) {
    return {.logits_bytes =
                size.logit_rows * model.vocab_size * static_cast<int64_t>(sizeof(float))};
  }

  explicit HeadBlock(const BlockContext& context) : PassBlock(context) {}

 protected:
  void Lay(const Block& /*block*/, PassBuffers* /*buffers*/) override {}
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_BLOCKS_HEAD_BLOCK_H_
