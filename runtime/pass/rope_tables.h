// Cosines and sines of the rotary embeddings of a model's layers.
#ifndef SLUICE_RUNTIME_PASS_ROPE_TABLES_H_
#define SLUICE_RUNTIME_PASS_ROPE_TABLES_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "runtime/place/compute_place.h"
#include "storage/model/spec.h"

namespace sluice {

// Layers that turn their heads in the same way share a table: [context_tokens, head_dim] f32, of
// each position head_dim / 2 cosines, then as many sines, as Ops::Rope reads them.
class RopeTables {
 public:
  // Bytes of all tables for positions below `context_tokens`.
  static int64_t MemoryBytes(const ModelSpec& model, int64_t context_tokens);
  // Computes them in memory of `place`, which must outlive them. ResourceExhausted.
  static absl::StatusOr<RopeTables> Create(const ModelSpec& model, int64_t context_tokens,
                                           ComputePlace* place);

  // The table of a layer of attention.
  const float* OfLayer(int layer) const {
    return reinterpret_cast<const float*>(tables_[table_of_layer_[layer]].data());
  }

 private:
  std::vector<DeviceRange> tables_;
  std::vector<int> table_of_layer_;
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_ROPE_TABLES_H_
