// --device, --max-vram, --kv-offload, --cpu-share and --throttle-copy: which processor computes,
// with how much of its memory, where its keys and values lie, what it leaves to the CPU, and how it
// is fed.
#ifndef SLUICE_TOOLS_DEVICE_OPTIONS_H_
#define SLUICE_TOOLS_DEVICE_OPTIONS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "runtime/open/device_choice.h"
#include "tools/command.h"

namespace sluice {

std::vector<OptionSpec> DeviceOptionSpecs();
absl::StatusOr<DeviceChoice> ParseDeviceChoice(const Arguments& args);

}  // namespace sluice

#endif  // SLUICE_TOOLS_DEVICE_OPTIONS_H_
