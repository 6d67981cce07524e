// The buffer between its two products.
#include "runtime/pass/blocks/gated_mlp_block.h"

#include <variant>

namespace sluice {

BlockNeeds GatedMlpBlock::Needs(const Block& block, const ModelSpec& model, const PassSize& size) {
  const auto& mlp = std::get<GatedMlpSpec>(model.layers[block.layer].feed_forward);
  return {.buffer_bytes = size.rows * mlp.intermediate_size * static_cast<int64_t>(sizeof(float))};
}

void GatedMlpBlock::Lay(const Block& /*block*/, PassBuffers* buffers) {
  (*buffers)[PassBuffer::kGated] = context().workspace->block();
}

}  // namespace sluice
