// Norms and biases where a pass reads them.
#ifndef SLUICE_RUNTIME_PASS_RESIDENT_TENSORS_H_
#define SLUICE_RUNTIME_PASS_RESIDENT_TENSORS_H_

#include "absl/status/statusor.h"
#include "kernels/device.h"
#include "runtime/place/compute_place.h"
#include "storage/store/layer_store.h"

namespace sluice {

// On the host they are read as the store holds them; a device has a copy of resident.bin.
class ResidentTensors {
 public:
  // `store` and `place` must outlive them. ResourceExhausted.
  static absl::StatusOr<ResidentTensors> Create(const LayerStore& store, ComputePlace* place);

  // [n] f32 in memory of the place; null where the model has no such tensor.
  const float* Find(TensorRole role, int layer) const;
  // The same in host memory.
  const float* FindOnHost(TensorRole role, int layer) const;

 private:
  explicit ResidentTensors(const LayerStore& store) : store_(&store) {}

  const LayerStore* store_;
  DeviceRange on_device_;  // resident.bin; empty on the host
};

}  // namespace sluice

#endif  // SLUICE_RUNTIME_PASS_RESIDENT_TENSORS_H_
