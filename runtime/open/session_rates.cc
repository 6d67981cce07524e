// Asks the probe, or takes one.
#include "runtime/open/session_rates.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "kernels/cuda/device_rates.h"
#include "runtime/floor/probe/machine_probe.h"

namespace sluice {
namespace {

constexpr double kQuickDeviceSeconds = 0.05;
constexpr int64_t kLeastProbedBytes = int64_t{4} << 20;

std::vector<CudaDevice>::const_iterator FindDevice(const std::vector<CudaDevice>& devices,
                                                   const CudaCompute& gpu) {
  return std::find_if(devices.begin(), devices.end(),
                      [&](const CudaDevice& d) { return d.name == gpu.name(); });
}

// `known` are those that a probe measured; a device that is not among them is measured now.
absl::Status AddDeviceRates(const CudaCompute& gpu, std::vector<CudaDevice> known,
                            MachineRates* rates) {
  if (FindDevice(known, gpu) == known.end()) {
    SLUICE_ASSIGN_OR_RETURN(known, MeasureCudaDevices(kQuickDeviceSeconds));
  }
  const auto device = FindDevice(known, gpu);
  if (device == known.end()) return absl::OkStatus();
  rates->link_bytes_per_s = device->copy_bytes_per_s;
  rates->device_memory_bytes_per_s = device->memory_bytes_per_s;
  return absl::OkStatus();
}

// Of memory that a quick probe takes: within the budget, whose peak it is part of. The weights of a
// budget this small mostly lie in a cache, as what is measured then does.
int64_t ProbedBytes(const OpenOptions& options) {
  return std::clamp(options.max_ram_bytes / 2, kLeastProbedBytes, kMostProbedBytes);
}

// Those that the CPU computes with.
std::vector<Encoding> ProbedEncodings(const Session& session) {
  return session.gpu == nullptr ? SlabEncodings(session.store->manifest())
                                : std::vector<Encoding>();
}

MachineRates AsThrottled(MachineRates rates, const OpenOptions& options, const Session& session) {
  const auto throttle = static_cast<double>(options.read.io.max_bytes_per_s);
  if (throttle > 0 && (throttle < rates.disk_bytes_per_s || rates.disk_bytes_per_s == 0)) {
    rates.disk_bytes_per_s = throttle;
  }
  const auto link_throttle = static_cast<double>(options.read.copy_bytes_per_s);
  if (link_throttle > 0 &&
      (link_throttle < rates.link_bytes_per_s || rates.link_bytes_per_s == 0)) {
    rates.link_bytes_per_s = link_throttle;
  }
  return session.fast_math && session.gpu == nullptr ? WithFastMath(std::move(rates)) : rates;
}

}  // namespace

bool ProbeKnowsStore(const OpenOptions& options, const Session& session) {
  return options.probe.has_value() &&
         ProbeCovers(*options.probe, ProbedEncodings(session),
                     session.fast_math && session.gpu == nullptr, ProbedBytes(options));
}

absl::Status ProbeForSession(OpenOptions* options, const Session& session) {
  if (!ProbeKnowsStore(*options, session)) {
    ProbeOptions probe;
    probe.dir = options->store;
    probe.num_threads = options->num_cores;  // as `sluice probe` does: rates for fewer follow
    probe.placement = options->placement;
    probe.isa = options->isa;
    probe.io = options->read.io.kind;
    probe.encodings = ProbedEncodings(session);
    probe.fast_math = session.fast_math && session.gpu == nullptr;
    probe.quick = true;
    probe.memory_bytes = ProbedBytes(*options);
    probe.on_step = options->on_measuring;
    probe.on_fewer_threads = options->read.io.on_fewer_threads;
    SLUICE_ASSIGN_OR_RETURN(ProbeResult result, ProbeMachine(probe));
    if (options->unusual_option.empty()) {
      if (options->probe.has_value()) KeepOtherKernels(*options->probe, &result);
      options->Note(OpenNote::Kind::kProbe, RememberAndSay(options->probe_file, result));
    } else {
      options->Note(
          OpenNote::Kind::kProbe,
          absl::StrCat("the probe is not remembered: it was taken with ", options->unusual_option));
    }
    options->probe = std::move(result);
    options->read.io.read_bytes = options->probe->rates.read_bytes;
    options->read.io.queue_depth = options->probe->rates.queue_depth;
  }
  const std::string remark = SpreadRemark(*options->probe, options->store);
  if (!remark.empty()) options->Note(OpenNote::Kind::kProbe, remark);
  return absl::OkStatus();
}

absl::StatusOr<MachineRates> RatesForSession(const OpenOptions& options, const Session& session) {
  MachineRates rates = options.probe->rates;
  if (session.gpu != nullptr)
    SLUICE_RETURN_IF_ERROR(AddDeviceRates(*session.gpu, options.probe->devices, &rates));
  return AsThrottled(std::move(rates), options, session);
}

MachineRates RememberedRates(const OpenOptions& options, const Session& session) {
  MachineRates rates;
  if (options.probe.has_value()) {
    rates = options.probe->rates;
    if (session.gpu != nullptr) {
      const auto device = FindDevice(options.probe->devices, *session.gpu);
      if (device != options.probe->devices.end()) {
        rates.link_bytes_per_s = device->copy_bytes_per_s;
        rates.device_memory_bytes_per_s = device->memory_bytes_per_s;
      }
    }
  }
  return AsThrottled(std::move(rates), options, session);
}

}  // namespace sluice
