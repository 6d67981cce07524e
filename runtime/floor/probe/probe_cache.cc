// probe.json: a list of results, one a pair of CPU and disk.
#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "runtime/floor/probe/machine_probe.h"
#include "storage/file/durable_file.h"
#include "storage/file/input_file.h"

namespace sluice {
namespace {

constexpr int64_t kMaxCacheBytes = int64_t{16} << 20;

nlohmann::json KernelsToJson(const std::vector<KernelRate>& rates) {
  nlohmann::json kernels = nlohmann::json::array();
  for (const KernelRate& k : rates) {
    kernels.push_back({{"encoding", std::string(Info(k.encoding).name)},
                       {"rows", k.rows},
                       {"bytes_per_s", k.bytes_per_s}});
  }
  return kernels;
}

std::vector<KernelRate> KernelsFromJson(const nlohmann::json& json) {
  std::vector<KernelRate> rates;
  for (const nlohmann::json& k : json) {
    const absl::StatusOr<Encoding> encoding = ParseEncoding(k.at("encoding").get<std::string>());
    if (!encoding.ok()) continue;  // of another version
    rates.push_back({*encoding, k.at("rows"), k.at("bytes_per_s")});
  }
  return rates;
}

nlohmann::json ToJson(const ProbeResult& result) {
  const MachineRates& r = result.rates;
  nlohmann::json disk = nlohmann::json::array();
  for (const DiskRate& d : result.disk_rates) {
    disk.push_back({{"read_bytes", d.read_bytes},
                    {"queue_depth", d.queue_depth},
                    {"bytes_per_s", d.bytes_per_s}});
  }
  nlohmann::json spreads = nlohmann::json::array();
  for (const ProbeSpread& s : result.spreads) {
    spreads.push_back({{"what", s.what},
                       {"median_bytes_per_s", s.samples.median},
                       {"least_bytes_per_s", s.samples.least},
                       {"most_bytes_per_s", s.samples.most},
                       {"runs", s.samples.runs},
                       {"wide", s.samples.wide()}});
  }
  nlohmann::json devices = nlohmann::json::array();
  for (const CudaDevice& d : result.devices) {
    devices.push_back({{"name", d.name},
                       {"compute_capability", absl::StrCat(d.compute_major, ".", d.compute_minor)},
                       {"memory_bytes", d.memory_bytes},
                       {"copy_bytes_per_s", d.copy_bytes_per_s},
                       {"memory_bytes_per_s", d.memory_bytes_per_s}});
  }
  return {{"cpu", result.cpu},
          {"devices", devices},
          {"disk", result.disk},
          {"isa", result.isa},
          {"io", result.io},
          {"threads", r.num_threads},
          {"cpus", r.num_cpus},
          {"disk_bytes_per_s", r.disk_bytes_per_s},
          {"read_bytes", r.read_bytes},
          {"queue_depth", r.queue_depth},
          {"ring_turn_s", r.ring_turn_s},
          {"memory_bytes_per_s", r.memory_bytes_per_s},
          {"verify_bytes_per_s", r.verify_bytes_per_s},
          {"unpack_bytes_per_s", r.unpack_bytes_per_s},
          {"bf16_stored_share", r.bf16_stored_share},
          {"kernels", KernelsToJson(r.kernels)},
          {"fast_math_kernels", KernelsToJson(r.fast_kernels)},
          {"disk_rates", disk},
          {"memory_bytes", result.memory_bytes},
          {"spreads", spreads}};
}

CudaDevice DeviceFromJson(const nlohmann::json& json) {
  CudaDevice device;
  device.name = json.at("name");
  const std::string capability = json.at("compute_capability");
  std::sscanf(capability.c_str(), "%d.%d", &device.compute_major, &device.compute_minor);
  device.memory_bytes = json.at("memory_bytes");
  device.copy_bytes_per_s = json.at("copy_bytes_per_s");
  device.memory_bytes_per_s = json.at("memory_bytes_per_s");
  return device;
}

// Throws what nlohmann::json throws where a key is missing or of another type.
ProbeResult FromJson(const nlohmann::json& json) {
  ProbeResult result;
  result.cpu = json.at("cpu");
  result.disk = json.at("disk");
  result.isa = json.at("isa");
  result.io = json.at("io");
  MachineRates& r = result.rates;
  r.num_threads = json.at("threads");
  r.num_cpus = json.at("cpus");
  r.disk_bytes_per_s = json.at("disk_bytes_per_s");
  r.read_bytes = json.at("read_bytes");
  r.queue_depth = json.at("queue_depth");
  r.ring_turn_s = json.value("ring_turn_s", 0.0);
  r.memory_bytes_per_s = json.at("memory_bytes_per_s");
  r.verify_bytes_per_s = json.at("verify_bytes_per_s");
  r.unpack_bytes_per_s = json.at("unpack_bytes_per_s");
  r.bf16_stored_share = json.at("bf16_stored_share");
  r.kernels = KernelsFromJson(json.at("kernels"));
  if (json.contains("fast_math_kernels"))
    r.fast_kernels = KernelsFromJson(json["fast_math_kernels"]);
  for (const nlohmann::json& d : json.at("disk_rates")) {
    result.disk_rates.push_back({d.at("read_bytes"), d.at("queue_depth"), d.at("bytes_per_s")});
  }
  for (const nlohmann::json& d : json.at("devices")) result.devices.push_back(DeviceFromJson(d));
  // Until these were kept, only `sluice probe` remembered anything: all encodings, and that much
  // memory.
  result.memory_bytes = json.value("memory_bytes", kMostProbedBytes);
  for (const nlohmann::json& s : json.value("spreads", nlohmann::json::array())) {
    result.spreads.push_back({s.at("what"),
                              {.median = s.at("median_bytes_per_s"),
                               .least = s.at("least_bytes_per_s"),
                               .most = s.at("most_bytes_per_s"),
                               .runs = s.at("runs")}});
  }
  return result;
}

// What the file holds and can be read; nothing where there is none.
std::vector<ProbeResult> LoadProbes(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadTextFile(path, kMaxCacheBytes);
  if (!text.ok()) return {};
  std::vector<ProbeResult> results;
  try {
    for (const nlohmann::json& json : nlohmann::json::parse(*text)) {
      results.push_back(FromJson(json));
    }
  } catch (const nlohmann::json::exception&) {
    return {};  // a cache: what is damaged is measured again
  }
  return results;
}

}  // namespace

nlohmann::json ProbeToJson(const ProbeResult& result) { return ToJson(result); }

std::optional<ProbeResult> RecallProbe(const std::string& path, const std::string& dir) {
  const absl::StatusOr<std::string> disk = DiskName(dir);
  if (!disk.ok()) return std::nullopt;
  for (ProbeResult& result : LoadProbes(path)) {
    if (result.cpu == CpuName() && result.disk == *disk) return std::move(result);
  }
  return std::nullopt;
}

absl::Status RememberProbe(const std::string& path, const ProbeResult& result) {
  if (path.empty()) {
    return absl::FailedPreconditionError("neither XDG_CACHE_HOME nor HOME is set; set one of them");
  }
  const std::filesystem::path file(path);
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot make ", file.parent_path().string(), ": ", error.message()));
  }
  nlohmann::json list = nlohmann::json::array();
  for (const ProbeResult& other : LoadProbes(path)) {
    if (other.cpu != result.cpu || other.disk != result.disk) list.push_back(ToJson(other));
  }
  list.push_back(ToJson(result));
  return WriteFileAtomically(file.parent_path().string(), file.filename().string(),
                             list.dump(1) + "\n");
}

std::string RememberAndSay(const std::string& path, const ProbeResult& result) {
  const absl::Status status = RememberProbe(path, result);
  if (status.ok()) return absl::StrCat("remembered in ", path);
  return absl::StrCat("the probe is remembered nowhere, and will be taken again: ",
                      status.message());
}

bool ProbeCovers(const ProbeResult& result, const std::vector<Encoding>& encodings, bool rounded,
                 int64_t memory_bytes) {
  const auto has = [](const std::vector<KernelRate>& kernels, Encoding encoding) {
    return std::any_of(kernels.begin(), kernels.end(),
                       [&](const KernelRate& k) { return k.encoding == encoding; });
  };
  for (const Encoding encoding : encodings) {
    if (!has(result.rates.kernels, encoding)) return false;
    if (rounded && encoding == Encoding::kBF16 && !has(result.rates.fast_kernels, encoding))
      return false;
  }
  return result.memory_bytes >= memory_bytes;
}

void KeepOtherKernels(const ProbeResult& before, ProbeResult* result) {
  const auto keep = [](const std::vector<KernelRate>& from, std::vector<KernelRate>* to) {
    const std::vector<KernelRate> measured = *to;
    for (const KernelRate& rate : from) {
      const auto same = [&](const KernelRate& k) { return k.encoding == rate.encoding; };
      if (std::none_of(measured.begin(), measured.end(), same)) to->push_back(rate);
    }
  };
  keep(before.rates.kernels, &result->rates.kernels);
  keep(before.rates.fast_kernels, &result->rates.fast_kernels);
}

}  // namespace sluice
