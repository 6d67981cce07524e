// Copies resident.bin to a device.
#include "runtime/pass/resident_tensors.h"

#include <cstddef>
#include <utility>

#include "absl/types/span.h"
#include "kernels/base/status_macros.h"

namespace sluice {

absl::StatusOr<ResidentTensors> ResidentTensors::Create(const LayerStore& store,
                                                        ComputePlace* place) {
  ResidentTensors tensors(store);
  if (place->device() == nullptr) return tensors;
  const Manifest& manifest = store.manifest();
  SLUICE_ASSIGN_OR_RETURN(tensors.on_device_, place->Allocate(manifest.resident_bytes));
  for (const ManifestTensor& tensor : manifest.tensors) {
    if (PlaceOf(tensor.role) != TensorPlace::kResident) continue;
    const absl::Span<const float> values = store.Resident(tensor.role, tensor.layer);
    SLUICE_RETURN_IF_ERROR(place->Upload(
        tensors.on_device_.data() + tensor.offset,
        {reinterpret_cast<const std::byte*>(values.data()), values.size() * sizeof(float)}));
  }
  return tensors;
}

const float* ResidentTensors::FindOnHost(TensorRole role, int layer) const {
  const absl::Span<const float> values = store_->Resident(role, layer);
  return values.empty() ? nullptr : values.data();
}

const float* ResidentTensors::Find(TensorRole role, int layer) const {
  if (on_device_.data() == nullptr) return FindOnHost(role, layer);
  const ManifestTensor* const tensor = store_->manifest().Find(role, layer);
  if (tensor == nullptr) return nullptr;
  return reinterpret_cast<const float*>(on_device_.data() + tensor->offset);
}

}  // namespace sluice
