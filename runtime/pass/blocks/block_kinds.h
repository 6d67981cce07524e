// The kinds of blocks that this program computes.
#ifndef SLUICE_RUNTIME_PASS_BLOCKS_BLOCK_KINDS_H_
#define SLUICE_RUNTIME_PASS_BLOCKS_BLOCK_KINDS_H_

#include <memory>

#include "runtime/pass/blocks/pass_block.h"
#include "runtime/pass/workspace.h"
#include "storage/model/program.h"
#include "storage/model/spec.h"

namespace sluice {

// What a block of `model` needs in passes of `size`.
BlockNeeds NeedsOf(const Block& block, const ModelSpec& model, const PassSize& size);

std::unique_ptr<PassBlock> MakeBlock(BlockKind kind, const BlockContext& context);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_BLOCKS_BLOCK_KINDS_H_
