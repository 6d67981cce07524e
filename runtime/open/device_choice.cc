// Opens the device and sizes its budget.
#include "runtime/open/device_choice.h"

#include <string>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

// Other programs, a desktop say, may come and take some; and allocations are rounded.
constexpr double kShareOfFree = 0.95;

}  // namespace

bool ParseDeviceName(absl::string_view name, DeviceChoice* choice) {
  choice->ordinal = 0;
  if (name == "cpu") {
    choice->kind = DeviceChoice::Kind::kCpu;
    return true;
  }
  if (name == "auto") {
    choice->kind = DeviceChoice::Kind::kAuto;
    return true;
  }
  choice->kind = DeviceChoice::Kind::kCuda;
  return name == "cuda" ||
         (absl::ConsumePrefix(&name, "cuda:") && absl::c_all_of(name, absl::ascii_isdigit) &&
          absl::SimpleAtoi(name, &choice->ordinal));
}

absl::StatusOr<std::unique_ptr<CudaCompute>> OpenDevice(const DeviceChoice& choice,
                                                        const OpenNoteFn& on_note) {
  if (choice.kind == DeviceChoice::Kind::kCpu) return std::unique_ptr<CudaCompute>();
  absl::StatusOr<std::unique_ptr<CudaCompute>> compute = OpenCudaDevice(choice.ordinal);
  if (choice.kind == DeviceChoice::Kind::kCuda || compute.ok()) return compute;
  const auto note = [&on_note](std::string text) {
    if (on_note) on_note({OpenNote::Kind::kChoice, std::move(text)});
  };
  note(absl::StrCat("computing on the CPU: ", compute.status().message()));
  if (choice.copy_bytes_per_s > 0) {
    note("the CPU computes, so nothing is copied: --throttle-copy slows nothing");
  }
  if (choice.cpu_share.has_value()) {
    note("the CPU computes everything: --cpu-share changes nothing");
  }
  return std::unique_ptr<CudaCompute>();
}

absl::StatusOr<DeviceBudget> BudgetOf(const CudaCompute& compute, const DeviceChoice& choice) {
  const int64_t context = compute.context_bytes();
  const int64_t most = compute.free_bytes() + context;
  DeviceBudget budget;
  budget.scratch_bytes = compute.overhead_bytes();
  budget.kv_place = choice.kv_place;
  budget.compute_capability = compute.compute_capability();
  budget.max_bytes = choice.max_vram_bytes > 0
                         ? choice.max_vram_bytes
                         : context + static_cast<int64_t>(
                                         kShareOfFree * static_cast<double>(compute.free_bytes()));
  if (budget.max_bytes > most) {
    return absl::InvalidArgumentError(
        absl::StrCat("--max-vram ", budget.max_bytes, " is more than the ", most, " bytes that ",
                     compute.name(), " has free, of ", compute.total_bytes()));
  }
  return budget;
}

}  // namespace sluice
