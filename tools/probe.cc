// sluice probe: what this machine can do.
#include <algorithm>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/base/format_bytes.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/system_memory.h"
#include "runtime/floor/probe/machine_probe.h"
#include "tools/commands.h"
#include "tools/compute_threads.h"
#include "tools/progress.h"
#include "tools/session_options.h"

namespace sluice {
namespace {

// Rates by size of a read (down) and reads in flight (across).
void PrintDisk(const ProbeResult& result) {
  std::vector<int64_t> sizes;
  std::vector<int> depths;
  for (const DiskRate& rate : result.disk_rates) {
    if (std::find(sizes.begin(), sizes.end(), rate.read_bytes) == sizes.end()) {
      sizes.push_back(rate.read_bytes);
    }
    if (std::find(depths.begin(), depths.end(), rate.queue_depth) == depths.end()) {
      depths.push_back(rate.queue_depth);
    }
  }
  std::printf("disk (%s): sequential GB/s by reads in flight\n%12s", result.disk.c_str(), "");
  for (const int depth : depths) std::printf("%8d", depth);
  for (const int64_t size : sizes) {
    std::printf("\n%8d KiB", static_cast<int>(size / 1024));
    for (const int depth : depths) {
      for (const DiskRate& rate : result.disk_rates) {
        if (rate.read_bytes != size || rate.queue_depth != depth) continue;
        const bool best = size == result.rates.read_bytes && depth == result.rates.queue_depth;
        std::printf("%7.2f%c", rate.bytes_per_s / 1e9, best ? '*' : ' ');
      }
    }
  }
  std::printf("\n%12s* is how sluice will read\n\n", "");
}

void PrintKernelRows(const std::vector<KernelRate>& rates, const char* suffix) {
  const Encoding* encoding = nullptr;
  for (const KernelRate& rate : rates) {
    const EncodingInfo& info = Info(rate.encoding);
    if (encoding == nullptr || *encoding != rate.encoding) {
      std::printf("\n%12s", absl::StrCat(info.name, suffix).c_str());
    }
    encoding = &rate.encoding;
    const double weights_per_s = rate.bytes_per_s * 8 / info.bits_per_weight();
    std::printf("%7.2f%7.0f", rate.bytes_per_s / 1e9, 2 * weights_per_s * rate.rows / 1e9);
  }
}

void PrintKernels(const ProbeResult& result) {
  std::printf("matrix kernels (%s, %d threads): GB/s of weights, and GOPS, by rows\n%12s",
              result.isa.c_str(), result.rates.num_threads, "");
  std::vector<int64_t> rows;
  for (const KernelRate& rate : result.rates.kernels) {
    if (std::find(rows.begin(), rows.end(), rate.rows) == rows.end()) rows.push_back(rate.rows);
  }
  for (const int64_t n : rows) std::printf("%14d", static_cast<int>(n));
  PrintKernelRows(result.rates.kernels, "");
  PrintKernelRows(result.rates.fast_kernels, " (fast)");
  std::printf("\n");
  if (!result.rates.fast_kernels.empty()) std::printf("%12s(fast): with --fast-math\n", "");
}

void PrintDevices(const ProbeResult& result) {
  for (const CudaDevice& device : result.devices) {
    std::printf(
        "\n%s (compute capability %d.%d, %s): %.2f GB/s from pinned memory, %.1f GB/s in its own\n",
        device.name.c_str(), device.compute_major, device.compute_minor,
        FormatBytes(device.memory_bytes).c_str(), device.copy_bytes_per_s / 1e9,
        device.memory_bytes_per_s / 1e9);
  }
}

absl::Status Probe(const Arguments& args) {
  ProbeOptions options;
  options.dir = args.positionals().empty() ? "." : args.positionals()[0];
  SLUICE_ASSIGN_OR_RETURN(ComputeThreads threads, ParseComputeThreads(args));
  options.num_threads = threads.count;
  options.placement = std::move(threads.placement);
  SLUICE_ASSIGN_OR_RETURN(options.isa, ParseIsaOption(args));
  SLUICE_ASSIGN_OR_RETURN(options.io, ParseIoKind(args.Get("--io").value_or("auto")));
  options.on_fewer_threads = SayFewerThreads();
  options.quick = args.Has("--quick");
  for (const EncodingInfo& info : Encodings()) options.encodings.push_back(info.encoding);
  options.fast_math = RoundsActivations(options.isa);
  absl::StatusOr<ProbeResult> result = absl::UnknownError("");
  {
    Progress progress("measuring", ProgressUnit::kCount);
    options.on_step = [&](absl::string_view what, int done, int total) {
      progress.Update(done, total, what);
    };
    result = ProbeMachine(options);
  }
  SLUICE_RETURN_IF_ERROR(result.status());
  if (args.Has("--json")) {
    std::printf("%s\n", ProbeToJson(*result).dump().c_str());
  } else {
    std::printf("%s\n\n", result->cpu.c_str());
    PrintDisk(*result);
    std::printf("memory       %7.2f GB/s read by %d threads\n",
                result->rates.memory_bytes_per_s / 1e9, result->rates.num_threads);
    std::printf("verifying    %7.2f GB/s a thread (XXH3)\n",
                result->rates.verify_bytes_per_s / 1e9);
    std::printf("decoding     %7.2f GB/s of bf16 a thread (zstd, stored at %.2f of their size)\n\n",
                result->rates.unpack_bytes_per_s / 1e9, result->rates.bf16_stored_share);
    PrintKernels(*result);
    PrintDevices(*result);
  }
  std::fflush(stdout);
  const std::string remark = SpreadRemark(*result, options.dir);
  if (!remark.empty()) std::fprintf(stderr, "%s\n", remark.c_str());
  std::fprintf(stderr, "%s\n", RememberAndSay(ProbeCachePath(), *result).c_str());
  return absl::OkStatus();
}

}  // namespace

CommandSpec ProbeCommand() {
  CommandSpec command;
  command.name = "probe";
  command.summary = "Measure disk, memory and kernels of this machine";
  command.positionals = {"[DIR]"};
  command.description =
      "Measures the rates of this machine with sluice's own reader and kernels: the disk by size "
      "of a read and reads in flight, memory, checksums, decoding, the matrix kernels by "
      "encoding and number of rows, and, if there is a GPU, copies to it and within its memory. "
      "DIR is a store, or a folder on the disk to measure (default: the current one), where a "
      "file of 1 GiB is made for a moment.\n\n"
      "Each rate is the median of several runs. If the runs differ widely, a line says so.\n\n"
      "The result is remembered for this CPU and disk in $XDG_CACHE_HOME/sluice/probe.json, or "
      "below ~/.cache. Then run reads in the way that was fastest, plan and batch predict with "
      "the rates, and bench compares with them. If the file cannot be written, a line says so "
      "and nothing is remembered.";
  command.options = ComputeThreadSpecs();
  const std::vector<OptionSpec> others = {
      {.name = "--io",
       .help = "How to read the disk (default auto: io_uring where it is permitted).",
       .choices = {"auto", "uring", "threads"}},
      {.name = "--quick", .help = "Fewer settings: a few seconds instead of about half a minute."},
      {.name = "--json", .help = "Print one JSON object instead."},
      {.name = "--isa", .value = "NAME", .help = "Kernels to use.", .hidden = true},
  };
  command.options.insert(command.options.end(), others.begin(), others.end());
  command.examples = {"sluice probe /mnt/nvme", "sluice probe llama-70b.store --json"};
  command.run = &Probe;
  return command;
}

}  // namespace sluice
