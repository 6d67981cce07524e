// One function a part: the block that it runs as.
#include "storage/model/program.h"

#include <algorithm>
#include <variant>

namespace sluice {
namespace {

ProductMatrix Matrix(TensorRole slot, std::optional<TensorRole> bias,
                     Epilogue epilogue = Epilogue::kStore) {
  return {slot, bias, epilogue};
}

Product One(ProductMatrix matrix, PassBuffer reads, PassBuffer writes) {
  return {.first = matrix, .second = std::nullopt, .reads = reads, .writes = writes};
}

Block BlockOf(const AttentionSpec&, int layer) {
  using enum TensorRole;
  return {.kind = BlockKind::kAttention,
          .layer = layer,
          .norm = kAttentionNorm,
          .products = {
              One(Matrix(kQ, kQBias), PassBuffer::kNormed, PassBuffer::kQ),
              One(Matrix(kK, kKBias), PassBuffer::kNormed, PassBuffer::kK),
              One(Matrix(kV, kVBias), PassBuffer::kNormed, PassBuffer::kV),
              One(Matrix(kO, kOBias, Epilogue::kAdd), PassBuffer::kAttended, PassBuffer::kResidual),
          }};
}

Block BlockOf(const GatedMlpSpec&, int layer) {
  using enum TensorRole;
  return {
      .kind = BlockKind::kGatedMlp,
      .layer = layer,
      .norm = kMlpNorm,
      .products = {
          {.first = Matrix(kGate, kGateBias),
           .second = Matrix(kUp, kUpBias, Epilogue::kMultiply),
           .together = Epilogue::kSwiGlu,
           .reads = PassBuffer::kNormed,
           .writes = PassBuffer::kGated},
          One(Matrix(kDown, kDownBias, Epilogue::kAdd), PassBuffer::kGated, PassBuffer::kResidual),
      }};
}

Block MergeBlockOf() {
  using enum TensorRole;
  return {
      .kind = BlockKind::kMerge,
      .layer = 0,
      .norm = kTokenNorm,
      .products = {One(Matrix(kMerge, std::nullopt), PassBuffer::kMerged, PassBuffer::kResidual)}};
}

Block HeadBlockOf() {
  using enum TensorRole;
  return {
      .kind = BlockKind::kHead,
      .layer = -1,
      .norm = kFinalNorm,
      .products = {One(Matrix(kHead, std::nullopt), PassBuffer::kNormedLast, PassBuffer::kLogits)}};
}

}  // namespace

const ProductMatrix* Product::Find(TensorRole slot) const {
  if (first.slot == slot) return &first;
  return second.has_value() && second->slot == slot ? &*second : nullptr;
}

int Program::FirstBlock(int layer) const {
  const auto is_of_layer = [&](const Block& block) { return block.layer == layer; };
  return static_cast<int>(std::find_if(blocks.begin(), blocks.end(), is_of_layer) - blocks.begin());
}

const Product* Program::Find(int block, TensorRole slot) const {
  for (const Product& product : blocks[block].products) {
    if (product.Find(slot) != nullptr) return &product;
  }
  return nullptr;
}

int64_t Program::MemoryBytes() const {
  size_t bytes = blocks.capacity() * sizeof(Block);
  for (const Block& block : blocks) bytes += block.products.capacity() * sizeof(Product);
  return static_cast<int64_t>(bytes);
}

Program ProgramOf(const ModelSpec& model) {
  Program program;
  program.blocks.reserve(2 * model.layers.size() + 2);
  if (model.merges_hidden) program.blocks.push_back(MergeBlockOf());
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const auto add = [&](const auto& part) {
      program.blocks.push_back(BlockOf(part, static_cast<int>(i)));
    };
    std::visit(add, model.layers[i].mixer);
    std::visit(add, model.layers[i].feed_forward);
  }
  program.blocks.push_back(HeadBlockOf());
  return program;
}

}  // namespace sluice
