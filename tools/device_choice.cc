// Reads the options, opens the device, sizes its budget.
#include "tools/device_choice.h"

#include <cstdio>
#include <string>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kernels/base/status_macros.h"

namespace sluice {
namespace {

// Other programs, a desktop say, may come and take some; and allocations are rounded.
constexpr double kShareOfFree = 0.95;

}  // namespace

std::vector<OptionSpec> DeviceOptionSpecs() {
  return {
      {.name = "--device",
       .value = "NAME",
       .help = "Where to compute: cpu (default), cuda, cuda:N, or auto: a GPU where there is one. "
               "CUDA has run under "
               "emulation only so far."},
      {.name = "--max-vram",
       .value = "SIZE",
       .help = "Memory of the GPU for everything, the driver's context included (default: 95% of "
               "what is free)."},
      {.name = "--kv-offload",
       .alias = "-kvo",
       .help = "Keep keys and values in the GPU's memory (default: there, or in host memory where "
               "it has no room)."},
      {.name = "--no-kv-offload",
       .alias = "-nkvo",
       .help = "Keep keys and values in host memory: pages go to the GPU for each layer. On the "
               "CPU neither option changes anything."},
      {.name = "--cpu-share",
       .value = "auto|FRACTION",
       .help = "With a GPU: the share of the weights in host memory, 0 to 1, that the CPU "
               "computes with instead of copying them (default auto: the link and the CPU finish "
               "together, by the rates of `sluice probe`; without these rates 0)."},
      {.name = "--throttle-copy",
       .value = "RATE",
       .help =
           "Copy weights to the GPU no faster than RATE, such as 4GB/s: a slower link, simulated."},
  };
}

absl::StatusOr<DeviceChoice> ParseDeviceChoice(const Arguments& args) {
  DeviceChoice choice;
  const std::string name = args.Get("--device").value_or("cpu");
  absl::string_view number = name;
  if (name == "auto") {
    choice.kind = DeviceChoice::Kind::kAuto;
  } else if (name == "cuda") {
    choice.kind = DeviceChoice::Kind::kCuda;
  } else if (absl::ConsumePrefix(&number, "cuda:") && absl::c_all_of(number, absl::ascii_isdigit) &&
             absl::SimpleAtoi(number, &choice.ordinal)) {
    choice.kind = DeviceChoice::Kind::kCuda;
  } else if (name != "cpu") {
    return UsageError(absl::StrCat("--device wants cpu, cuda, cuda:N or auto, not \"", name, "\""));
  }
  SLUICE_ASSIGN_OR_RETURN(choice.max_vram_bytes, args.Bytes("--max-vram", 0));
  SLUICE_ASSIGN_OR_RETURN(choice.copy_bytes_per_s, args.Rate("--throttle-copy", 0));
  if (args.Has("--kv-offload") && args.Has("--no-kv-offload")) {
    return UsageError("give one of --kv-offload and --no-kv-offload");
  }
  choice.kv_place = args.Has("--kv-offload")      ? KvPlace::kDevice
                    : args.Has("--no-kv-offload") ? KvPlace::kHost
                                                  : KvPlace::kAuto;
  if (const std::string share = args.Get("--cpu-share").value_or("auto"); share != "auto") {
    double fraction;
    if (!absl::SimpleAtod(share, &fraction) || !(fraction >= 0 && fraction <= 1)) {
      return UsageError(
          absl::StrCat("--cpu-share wants auto, or a fraction from 0 to 1, not \"", share, "\""));
    }
    choice.cpu_share = fraction;
  }
  for (const char* option : {"--max-vram", "--cpu-share", "--throttle-copy"}) {
    if (args.Has(option) && choice.kind == DeviceChoice::Kind::kCpu) {
      return UsageError(absl::StrCat(option, " needs --device cuda or auto"));
    }
  }
  return choice;
}

absl::StatusOr<std::unique_ptr<CudaCompute>> OpenDevice(const DeviceChoice& choice) {
  if (choice.kind == DeviceChoice::Kind::kCpu) return std::unique_ptr<CudaCompute>();
  if (choice.kind == DeviceChoice::Kind::kCuda) return OpenCudaDevice(choice.ordinal);
  absl::StatusOr<std::unique_ptr<CudaCompute>> compute = OpenCudaDevice(choice.ordinal);
  if (compute.ok()) return compute;
  std::fprintf(stderr, "sluice: computing on the CPU: %s\n",
               std::string(compute.status().message()).c_str());
  if (choice.copy_bytes_per_s > 0) {
    std::fprintf(stderr,
                 "sluice: the CPU computes, so nothing is copied: --throttle-copy slows nothing\n");
  }
  if (choice.cpu_share.has_value()) {
    std::fprintf(stderr, "sluice: the CPU computes everything: --cpu-share changes nothing\n");
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
