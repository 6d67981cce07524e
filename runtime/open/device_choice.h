// Which processor computes, with how much of its memory, where its keys and values lie, what it
// leaves to the CPU, and how it is fed.
#ifndef SLUICE_RUNTIME_OPEN_DEVICE_CHOICE_H_
#define SLUICE_RUNTIME_OPEN_DEVICE_CHOICE_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/cuda/cuda_compute.h"
#include "runtime/open/open_note.h"
#include "runtime/pass/memory_plan.h"

namespace sluice {

struct DeviceChoice {
  enum class Kind : uint8_t { kCpu, kAuto, kCuda };
  Kind kind = Kind::kCpu;
  int ordinal = 0;                    // of CUDA devices
  int64_t max_vram_bytes = 0;         // 0: what is free
  KvPlace kv_place = KvPlace::kAuto;  // of no effect where the CPU computes
  // Of the weights in host memory, computed by the CPU; nothing: what is fastest
  std::optional<double> cpu_share;
  int64_t copy_bytes_per_s = 0;  // a slower link, simulated; 0: as fast as it is
};

// Sets `kind` and `ordinal` by "cpu", "cuda", "cuda:N" or "auto". False: `name` is none of these.
bool ParseDeviceName(absl::string_view name, DeviceChoice* choice);

// Null for the CPU. With kAuto the CPU computes where no device can be used; a note says why, in
// builds without CUDA and on machines without a driver, too, and so it does of copy_bytes_per_s,
// which then slows nothing, and of cpu_share, which then shares nothing.
absl::StatusOr<std::unique_ptr<CudaCompute>> OpenDevice(const DeviceChoice& choice,
                                                        const OpenNoteFn& on_note);

// InvalidArgument: more than the device has free.
absl::StatusOr<DeviceBudget> BudgetOf(const CudaCompute& compute, const DeviceChoice& choice);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_OPEN_DEVICE_CHOICE_H_
