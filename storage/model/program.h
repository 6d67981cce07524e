// The dataflow of a pass, block by block: which products run, what each reads, where it goes. This
// is the only description of it: how a store is cut and checked, what memory a pass needs and what
// is computed between the products all follow from the Program.
#ifndef SLUICE_STORAGE_MODEL_PROGRAM_H_
#define SLUICE_STORAGE_MODEL_PROGRAM_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "kernels/ops.h"
#include "storage/model/architecture.h"
#include "storage/model/spec.h"

namespace sluice {

// What a product reads or writes: rows of f32, one for each row of the pass.
enum class PassBuffer : uint8_t {
  kNormed,      // the residual stream through the norm of the block
  kNormedLast,  // the same, only the rows that want logits
  kQ,           // [q_dim], from here to kAttended of the block's attention
  kK,           // [kv_dim]
  kV,           // [kv_dim]
  kAttended,    // [q_dim]: what attention makes of q, k and v once all three are there
  kGated,       // [intermediate_size]: silu(gate), multiplied by up
  kMerged,      // [2 * hidden_size]: a hidden row through its norm, the embedding through its own
  kResidual,    // [hidden_size]
  kLogits,      // [vocab_size], only of the rows that want them
};
inline constexpr int kNumPassBuffers = static_cast<int>(PassBuffer::kLogits) + 1;

// A matrix of a product.
struct ProductMatrix {
  TensorRole slot;
  std::optional<TensorRole> bias;  // the slot of its bias, which a model need not have
  Epilogue epilogue;               // of slabs that hold this matrix alone
  bool operator==(const ProductMatrix&) const = default;
};

// A matrix, or two of one shape that read and write the same. If these two have the same encoding,
// their tiles take turns in slabs that hold both, and `together` is the epilogue of such slabs.
// Otherwise slabs of the first and of the second take turns.
struct Product {
  ProductMatrix first;
  std::optional<ProductMatrix> second;
  Epilogue together = Epilogue::kStore;
  PassBuffer reads;
  PassBuffer writes;
  int expert = -1;  // whose matrices these are; -1: no expert's

  bool operator==(const Product&) const = default;
  // The matrix in this slot, or null.
  const ProductMatrix* Find(TensorRole slot) const;
};

// Whether the product is computed only for rows that want logits.
inline bool OfLogitRows(const Product& product) { return product.reads == PassBuffer::kNormedLast; }
// Whether it reads the residual stream, through a norm, and not what the block computed before.
inline bool ReadsStream(const Product& product) {
  return product.reads == PassBuffer::kNormed || product.reads == PassBuffer::kNormedLast;
}

enum class BlockKind : uint8_t {
  kAttention,
  kGatedMlp,
  kMerge,  // in front of the layer of a head that drafts
  kHead,
};
inline constexpr int kNumBlockKinds = static_cast<int>(BlockKind::kHead) + 1;

// When a pass needs the slabs of a block.
enum class Demand : uint8_t {
  kAlways,  // each pass, in the order of the Program
  kRouted,  // those of the experts that a router picked
};

// What runs together. Products that read the same buffer stand next to each other.
struct Block {
  BlockKind kind;
  int layer;        // -1: not of a layer
  TensorRole norm;  // the slot of its norm
  Demand demand = Demand::kAlways;
  std::vector<Product> products;
  bool operator==(const Block&) const = default;
};

struct Program {
  std::vector<Block> blocks;  // in the order in which they run
  bool operator==(const Program&) const = default;

  int FirstBlock(int layer) const;  // of a layer; the number of blocks if there is no such layer
  // The product of a matrix in a block, or null.
  const Product* Find(int block, TensorRole slot) const;
  int64_t MemoryBytes() const;  // beyond the object itself
};

// The only place that knows what the parts of a layer compute.
Program ProgramOf(const ModelSpec& model);

}  // namespace sluice

#endif  // SLUICE_STORAGE_MODEL_PROGRAM_H_
