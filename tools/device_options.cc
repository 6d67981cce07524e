// Reads the options.
#include "tools/device_options.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace sluice {

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
  if (!ParseDeviceName(name, &choice)) {
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

}  // namespace sluice
