// The order of work inside a block.
#include "runtime/pass/blocks/pass_block.h"

#include "kernels/base/status_macros.h"

namespace sluice {

absl::Status PassBlock::Enter(const Block& block) {
  block_ = &block;
  reads_.reset();
  PassBuffers buffers = context_.workspace->buffers();
  Lay(block, &buffers);
  context_.products->Enter(block, buffers);
  return absl::OkStatus();
}

absl::Status PassBlock::Take(int slab, int count, absl::Span<const std::byte> tiles) {
  const PassBuffer reads = manifest().ProductOf(manifest().slabs[slab]).reads;
  if (reads != reads_) {
    SLUICE_RETURN_IF_ERROR(context_.products->Collect());
    SLUICE_RETURN_IF_ERROR(Make(*block_, reads));
    SLUICE_RETURN_IF_ERROR(context_.products->Read(slab));
    reads_ = reads;
  }
  return context_.products->Multiply(slab, count, tiles);
}

}  // namespace sluice
