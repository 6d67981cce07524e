// What a run did with the device that computed.
#ifndef SLUICE_TOOLS_DEVICE_REPORT_H_
#define SLUICE_TOOLS_DEVICE_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "nlohmann/json.hpp"
#include "runtime/open/session.h"

namespace sluice {

struct DeviceReport {
  std::string name;
  int64_t bytes_copied = 0;   // weights
  KvStagingCounters kv;       // keys and values that lie in host memory; zeros where they do not
  double link_gb_per_s = 0;   // while copying
  double hidden_share = 0;    // of the time of all copies that ran behind kernels
  double wait_share = 0;      // of the time in passes that kernels waited for copies
  double kv_wait_share = 0;   // of the same for copies of keys and values
  int64_t cpu_bytes = 0;      // of weights that the CPU computed with
  double cpu_gb_per_s = 0;    // while it did
  double cpu_wait_share = 0;  // of the time in passes that the rest waited for it
  int64_t kept_bytes = 0;     // weights that stay on the device
  int64_t planned_bytes = 0;  // of its memory
  std::optional<int64_t> taken_bytes;  // by NVML
  int64_t max_vram_bytes = 0;
  int64_t unpinned_bytes = 0;  // of weights that would stay in host memory if it could be pinned
};

// Of a session whose model computes on a device.
DeviceReport MakeDeviceReport(const Session& session);
nlohmann::json DeviceReportToJson(const DeviceReport& report);
// Two lines on stderr, one more where keys and values lie in host memory, where the CPU had a
// share, and where memory could not be pinned.
void PrintDeviceReport(const DeviceReport& report);

}  // namespace sluice

#endif  // SLUICE_TOOLS_DEVICE_REPORT_H_
