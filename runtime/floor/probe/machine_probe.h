// Measures what this machine can do, with sluice's own reader and kernels, and remembers it.
#ifndef SLUICE_RUNTIME_FLOOR_PROBE_MACHINE_PROBE_H_
#define SLUICE_RUNTIME_FLOOR_PROBE_MACHINE_PROBE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/cuda/device_rates.h"
#include "kernels/encodings/encoding.h"
#include "nlohmann/json.hpp"
#include "prefetch/io/io_engine.h"
#include "runtime/floor/pass_floor.h"
#include "runtime/floor/probe/samples.h"
#include "storage/store/manifest.h"

namespace sluice {

inline constexpr int64_t kMostProbedBytes = int64_t{1} << 30;

struct DiskRate {
  int64_t read_bytes;  // size of a read
  int queue_depth;     // reads in flight
  double bytes_per_s;
};

// What was measured in several runs.
struct ProbeSpread {
  std::string what;  // "the disk", "the memory", "checking a slab"
  Samples samples;
};

struct ProbeResult {
  std::string cpu;                   // model name and number of CPUs
  std::string disk;                  // device and size
  std::string isa;                   // of the kernels
  std::string io;                    // of the engine
  MachineRates rates;                // medians
  std::vector<DiskRate> disk_rates;  // all that were tried; rates has the best
  std::vector<CudaDevice> devices;
  std::vector<ProbeSpread> spreads;
  int64_t memory_bytes = kMostProbedBytes;  // ProbeOptions::memory_bytes
};

struct ProbeOptions {
  std::string dir;  // a store, whose files are read; or a folder, where a file is made for it
  int num_threads = 1;
  ThreadPlacement placement;
  Isa isa = Isa::kScalar;
  IoKind io = IoKind::kAuto;
  std::vector<Encoding> encodings;  // to measure the kernels of
  bool fast_math = false;  // of bf16 with --fast-math, too; RoundsActivations(isa) must be true
  bool quick = false;      // about three seconds instead of half a minute
  // Of memory to read and to multiply with. A cache of 32 MiB holds up to an eighth of 256 MiB that
  // are read again and again, and makes memory look a tenth faster: the more, the closer. Reads in
  // flight take no more either.
  int64_t memory_bytes = kMostProbedBytes;
  // Called before each step, with what is measured next and how many steps are done of how many.
  std::function<void(absl::string_view what, int done, int total)> on_step;
  ThreadShortageFn on_fewer_threads;  // as IoOptions'
};

// Errors name the folder: NotFound, ResourceExhausted (no room for the file), or as IoEngine's.
absl::StatusOr<ProbeResult> ProbeMachine(const ProbeOptions& options);

// A line on measurements whose runs are far apart: what they gave, what counts, and what to do.
// Empty where none are. `dir` is what was probed.
std::string SpreadRemark(const ProbeResult& result, const std::string& dir);

// The encodings of a store's slabs: what a quick probe for it needs.
std::vector<Encoding> SlabEncodings(const Manifest& manifest);

// "AMD EPYC, 2 CPUs": what a result is remembered by.
std::string CpuName();
// The device that `dir` is on: its name and size tell two disks of one machine apart. NotFound
// where there is no such folder.
absl::StatusOr<std::string> DiskName(const std::string& dir);

nlohmann::json ProbeToJson(const ProbeResult& result);

// What was remembered for this CPU and the disk that `dir` is on.
std::optional<ProbeResult> RecallProbe(const std::string& path, const std::string& dir);
// Replaces what was remembered for the same CPU and disk. A damaged file is replaced as a whole.
// FailedPrecondition: the path is empty, as neither variable is set. Unavailable: the folder cannot
// be made, or the file cannot be written.
absl::Status RememberProbe(const std::string& path, const ProbeResult& result);
// Does so, and says in one line where, or that and why it is remembered nowhere: what was measured
// is right all the same.
std::string RememberAndSay(const std::string& path, const ProbeResult& result);

// Whether a plan for these slabs can do with `result`: it has rates of all their encodings, with
// --fast-math where `rounded`, and of as much memory. A probe that plan took under a small budget
// has a cache's rates.
bool ProbeCovers(const ProbeResult& result, const std::vector<Encoding>& encodings, bool rounded,
                 int64_t memory_bytes);
// Adds to a quick probe the kernels of other encodings that `before` has.
void KeepOtherKernels(const ProbeResult& before, ProbeResult* result);

}  // namespace sluice

#endif  // SLUICE_RUNTIME_FLOOR_PROBE_MACHINE_PROBE_H_
