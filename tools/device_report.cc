// Rates and shares of the streams' counters.
#include "tools/device_report.h"

#include <algorithm>
#include <cstdio>

#include "kernels/base/format_bytes.h"

namespace sluice {

DeviceReport MakeDeviceReport(const Session& session) {
  const Model& model = *session.model;
  const DeviceStreamCounters counters = model.device_counters();
  const PassCounters passes = model.pass_counters();
  const auto ratio = [](double a, double b) { return b > 0 ? a / b : 0.0; };
  DeviceReport r;
  r.name = session.gpu->name();
  r.bytes_copied = counters.bytes_copied;
  r.link_gb_per_s =
      ratio(static_cast<double>(counters.bytes_copied) / 1e9, counters.link_busy_seconds);
  r.wait_share = std::min(1.0, ratio(passes.wait_copy_seconds, passes.pass_seconds));
  r.kv = model.kv_staging_counters();
  r.kv_wait_share = std::min(1.0, ratio(r.kv.wait_seconds, passes.pass_seconds));
  const double copying = counters.link_busy_seconds + r.kv.copy_seconds;
  r.hidden_share = copying > 0 ? std::max(0.0, 1 - passes.wait_copy_seconds / copying) : 0;
  const HostProductCounters products = model.host_product_counters();
  r.cpu_bytes = products.bytes;
  r.cpu_gb_per_s = ratio(static_cast<double>(products.bytes) / 1e9, products.seconds);
  r.cpu_wait_share = std::min(1.0, ratio(products.wait_seconds, passes.pass_seconds));
  r.kept_bytes = model.plan().nearest().kept_bytes;
  r.planned_bytes = model.plan().nearest().total_bytes();
  r.taken_bytes = session.gpu->TakenBytes();
  r.max_vram_bytes = model.plan().request.device->max_bytes;
  r.unpinned_bytes = model.plan().unpinned_bytes;
  return r;
}

nlohmann::json DeviceReportToJson(const DeviceReport& r) {
  nlohmann::json object = {{"name", r.name},
                           {"bytes_copied", r.bytes_copied},
                           {"kv_bytes_in", r.kv.bytes_in},
                           {"kv_bytes_out", r.kv.bytes_out},
                           {"kv_copy_seconds", r.kv.copy_seconds},
                           {"kv_wait_share", r.kv_wait_share},
                           {"link_gb_per_s", r.link_gb_per_s},
                           {"link_hidden_share", r.hidden_share},
                           {"link_wait_share", r.wait_share},
                           {"cpu_bytes", r.cpu_bytes},
                           {"cpu_gb_per_s", r.cpu_gb_per_s},
                           {"cpu_wait_share", r.cpu_wait_share},
                           {"kept_bytes", r.kept_bytes},
                           {"planned_bytes", r.planned_bytes},
                           {"max_vram_bytes", r.max_vram_bytes},
                           {"unpinned_bytes", r.unpinned_bytes}};
  if (r.taken_bytes.has_value()) object["taken_bytes"] = *r.taken_bytes;
  return object;
}

void PrintDeviceReport(const DeviceReport& r) {
  std::fprintf(stderr,
               "link         %.4f GB copied, %.2f GB/s while copying, %.1f%% of all copying "
               "hidden, kernels waited "
               "%.1f%% of their time\n",
               static_cast<double>(r.bytes_copied) / 1e9, r.link_gb_per_s, 100 * r.hidden_share,
               100 * r.wait_share);
  if (r.kv.bytes_out > 0) {
    std::fprintf(stderr,
                 "KV cache     in host memory: %s of pages copied to the device, %s back, in %.3g "
                 "s; kernels waited "
                 "%.1f%% of their time\n",
                 FormatBytes(r.kv.bytes_in).c_str(), FormatBytes(r.kv.bytes_out).c_str(),
                 r.kv.copy_seconds, 100 * r.kv_wait_share);
  }
  if (r.cpu_bytes > 0) {
    std::fprintf(stderr,
                 "CPU          %.4f GB of weights computed with instead of copied, %.2f GB/s, "
                 "waited for in %.1f%% "
                 "of the time\n",
                 static_cast<double>(r.cpu_bytes) / 1e9, r.cpu_gb_per_s, 100 * r.cpu_wait_share);
  }
  std::fprintf(stderr, "device       %s: %s of weights stay, %s of a budget of %s %s\n",
               r.name.c_str(), FormatBytes(r.kept_bytes).c_str(),
               FormatBytes(r.taken_bytes.value_or(r.planned_bytes)).c_str(),
               FormatBytes(r.max_vram_bytes).c_str(),
               r.taken_bytes.has_value() ? "taken (NVML)" : "planned");
  if (r.unpinned_bytes > 0) {
    std::fprintf(stderr,
                 "pinning      the system pins no more host memory, so %s of weights are read in "
                 "each pass\n",
                 FormatBytes(r.unpinned_bytes).c_str());
  }
}

}  // namespace sluice
