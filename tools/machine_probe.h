// Measures what this machine can do, with sluice's own reader and kernels, and remembers it.
#ifndef SLUICE_TOOLS_MACHINE_PROBE_H_
#define SLUICE_TOOLS_MACHINE_PROBE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cuda/device_rates.h"
#include "kernels/encoding.h"
#include "nlohmann/json.hpp"
#include "prefetch/io_engine.h"
#include "runtime/pass_floor.h"
#include "storage/manifest.h"

namespace sluice {

struct DiskRate {
  int64_t read_bytes;  // size of a read
  int queue_depth;     // reads in flight
  double bytes_per_s;
};

struct ProbeResult {
  std::string cpu;   // model name and number of CPUs
  std::string disk;  // device and size
  std::string isa;   // of the kernels
  std::string io;    // of the engine
  MachineRates rates;
  std::vector<DiskRate> disk_rates;  // all that were tried; rates has the best
  std::vector<CudaDevice> devices;
};

struct ProbeOptions {
  std::string dir;  // a store, whose files are read; or a folder, where a file is made for it
  int num_threads = 1;
  ThreadPlacement placement;
  Isa isa = Isa::kScalar;
  IoKind io = IoKind::kAuto;
  std::vector<Encoding> encodings;  // to measure the kernels of
  bool fast_math = false;           // of bf16 with --fast-math, too; RoundsActivations(isa) must be true
  bool quick = false;               // about two seconds instead of half a minute
  // Of memory to read and to multiply with. A cache of 32 MiB holds up to an eighth of 256 MiB that are read again and
  // again, and makes memory look a tenth faster: the more, the closer.
  int64_t memory_bytes = int64_t{1} << 30;
  // Called before each step, with what is measured next and how many steps are done of how many.
  std::function<void(absl::string_view what, int done, int total)> on_step;
};

// Errors name the folder: NotFound, ResourceExhausted (no room for the file), or as IoEngine's.
absl::StatusOr<ProbeResult> ProbeMachine(const ProbeOptions& options);

// The encodings of a store's slabs: what a quick probe for it needs.
std::vector<Encoding> SlabEncodings(const Manifest& manifest);

// "AMD EPYC, 2 CPUs": what a result is remembered by.
std::string CpuName();
// The device that `dir` is on: its name and size tell two disks of one machine apart. NotFound where
// there is no such folder.
absl::StatusOr<std::string> DiskName(const std::string& dir);

nlohmann::json ProbeToJson(const ProbeResult& result);

// $XDG_CACHE_HOME/sluice/probe.json, or below ~/.cache; empty where neither variable is set.
std::string ProbeCachePath();
// What was remembered for this CPU and the disk that `dir` is on.
std::optional<ProbeResult> RecallProbe(const std::string& path, const std::string& dir);
// Replaces what was remembered for the same CPU and disk. A damaged file is replaced as a whole.
absl::Status RememberProbe(const std::string& path, const ProbeResult& result);

}  // namespace sluice

#endif  // SLUICE_TOOLS_MACHINE_PROBE_H_
