// One line a kind, in each of two lists.
#include "runtime/pass/blocks/block_kinds.h"

#include "runtime/pass/blocks/attention_block.h"
#include "runtime/pass/blocks/gated_mlp_block.h"
#include "runtime/pass/blocks/head_block.h"
#include "runtime/pass/blocks/merge_block.h"

namespace sluice {

BlockNeeds NeedsOf(const Block& block, const ModelSpec& model, const PassSize& size) {
  switch (block.kind) {
    case BlockKind::kAttention:
      return AttentionBlock::Needs(block, model, size);
    case BlockKind::kGatedMlp:
      return GatedMlpBlock::Needs(block, model, size);
    case BlockKind::kMerge:
      return MergeBlock::Needs(model, size);
    case BlockKind::kHead:
      return HeadBlock::Needs(model, size);
  }
  return {};
}

std::unique_ptr<PassBlock> MakeBlock(BlockKind kind, const BlockContext& context) {
  switch (kind) {
    case BlockKind::kAttention:
      return std::make_unique<AttentionBlock>(context);
    case BlockKind::kGatedMlp:
      return std::make_unique<GatedMlpBlock>(context);
    case BlockKind::kMerge:
      return std::make_unique<MergeBlock>(context);
    case BlockKind::kHead:
      return std::make_unique<HeadBlock>(context);
  }
  return nullptr;
}

}  // namespace sluice
