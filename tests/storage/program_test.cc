// Tests of the dataflow that parts stand for.
#include "storage/model/program.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "storage/shard/store_plan.h"
#include "store_testing.h"

namespace sluice {
namespace {

// What a decoder of attention and gated MLPs computes with each matrix, spelled out.
struct ExpectedProduct {
  BlockKind kind;
  TensorRole norm;
  PassBuffer reads, writes;
  std::optional<TensorRole> bias;
  Epilogue alone;
};

const std::map<TensorRole, ExpectedProduct>& ExpectedProducts() {
  using enum TensorRole;
  constexpr BlockKind kAttention = BlockKind::kAttention, kMlp = BlockKind::kGatedMlp;
  constexpr Epilogue kStore = Epilogue::kStore, kAdd = Epilogue::kAdd;
  static const auto& expected = *new std::map<TensorRole, ExpectedProduct>{
      {kQ, {kAttention, kAttentionNorm, PassBuffer::kNormed, PassBuffer::kQ, kQBias, kStore}},
      {kK, {kAttention, kAttentionNorm, PassBuffer::kNormed, PassBuffer::kK, kKBias, kStore}},
      {kV, {kAttention, kAttentionNorm, PassBuffer::kNormed, PassBuffer::kV, kVBias, kStore}},
      {kO,
       {kAttention, kAttentionNorm, PassBuffer::kAttended, PassBuffer::kResidual, kOBias, kAdd}},
      {kGate, {kMlp, kMlpNorm, PassBuffer::kNormed, PassBuffer::kGated, kGateBias, kStore}},
      {kUp,
       {kMlp, kMlpNorm, PassBuffer::kNormed, PassBuffer::kGated, kUpBias, Epilogue::kMultiply}},
      {kDown, {kMlp, kMlpNorm, PassBuffer::kGated, PassBuffer::kResidual, kDownBias, kAdd}},
      {kHead,
       {BlockKind::kHead, kFinalNorm, PassBuffer::kNormedLast, PassBuffer::kLogits, std::nullopt,
        kStore}},
  };
  return expected;
}

// The slabs of a store in the order of a pass: of every model, one layer behind the other, and of
// every slab what its matrix is for.
TEST(Program, SaysOfEverySlabOfEveryModelWhatItComputes) {
  std::vector<std::string> models = GoldenModels();
  models.insert(models.end(), {"bard-6.7M", "TinyStories-656K"});
  for (const std::string& model : models) {
    for (const char* recipe : {"bf16", "q4_k_m"}) {
      const Manifest manifest =
          PlanStore(*OpenCheckpoint(ModelDir(model)), Recipe{recipe}, 20000).manifest;
      const int layers = static_cast<int>(manifest.hyper_parameters.num_hidden_layers);
      ASSERT_EQ(manifest.program.blocks.size(), 2 * layers + 1) << model;
      for (const ManifestSlab& slab : manifest.slabs) {
        const ManifestTensor& tensor = manifest.tensors[slab.tensors[0]];
        const ExpectedProduct& expected = ExpectedProducts().at(tensor.role);
        const Block& block = manifest.BlockOf(slab);
        EXPECT_EQ(block.layer, tensor.layer);
        EXPECT_EQ(block.kind, expected.kind);
        EXPECT_EQ(block.norm, expected.norm);
        EXPECT_EQ(slab.block, tensor.layer < 0
                                  ? 2 * layers
                                  : 2 * tensor.layer + (expected.kind == BlockKind::kGatedMlp));
        const Product& product = manifest.ProductOf(slab);
        const ProductMatrix& matrix = *product.Find(tensor.role);
        EXPECT_EQ(product.reads, expected.reads) << tensor.name;
        EXPECT_EQ(product.writes, expected.writes) << tensor.name;
        EXPECT_EQ(matrix.bias, expected.bias) << tensor.name;
        EXPECT_EQ(matrix.epilogue, expected.alone) << tensor.name;
        if (slab.tensors.size() == 1) continue;
        EXPECT_EQ(tensor.role, TensorRole::kGate);
        EXPECT_EQ(manifest.tensors[slab.tensors[1]].role, TensorRole::kUp);
        EXPECT_EQ(product.second->slot, TensorRole::kUp);
        EXPECT_EQ(product.together, Epilogue::kSwiGlu);
      }
    }
  }
}

// Executors prepare what products read once, however many there are.
TEST(Program, HasProductsThatReadTheSameNextToEachOther) {
  const Program program = ProgramOf({.layers = std::vector<LayerSpec>(2)});
  for (const Block& block : program.blocks) {
    std::vector<PassBuffer> inputs;
    for (const Product& product : block.products) {
      if (inputs.empty() || inputs.back() != product.reads) {
        EXPECT_EQ(std::count(inputs.begin(), inputs.end(), product.reads), 0);
        inputs.push_back(product.reads);
      }
    }
  }
}

TEST(Program, NumbersBlocksInTheOrderInWhichTheyRun) {
  const Program program = ProgramOf({.layers = std::vector<LayerSpec>(2)});
  ASSERT_EQ(program.blocks.size(), 5);
  const std::vector<std::pair<BlockKind, int>> expected = {{BlockKind::kAttention, 0},
                                                           {BlockKind::kGatedMlp, 0},
                                                           {BlockKind::kAttention, 1},
                                                           {BlockKind::kGatedMlp, 1},
                                                           {BlockKind::kHead, -1}};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(program.blocks[i].kind, expected[i].first) << i;
    EXPECT_EQ(program.blocks[i].layer, expected[i].second) << i;
  }
  EXPECT_EQ(program.FirstBlock(1), 2);
  EXPECT_EQ(program.FirstBlock(-1), 4);
  EXPECT_EQ(program.FirstBlock(2), 5);
  EXPECT_EQ(program.Find(0, TensorRole::kDown), nullptr);
  EXPECT_EQ(program.Find(1, TensorRole::kUp), &program.blocks[1].products[0]);
}

}  // namespace
}  // namespace sluice
