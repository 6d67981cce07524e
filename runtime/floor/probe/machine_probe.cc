// Each rate by the code that a run uses: the engine, XXH3, the matrix kernels.
#include "runtime/floor/probe/machine_probe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/memory_limits.h"
#include "kernels/base/status_macros.h"
#include "kernels/base/system_memory.h"
#include "kernels/cpu/bandwidth.h"
#include "kernels/cpu/matmul_rate.h"
#include "kernels/cpu/thread_pool.h"
#include "prefetch/stage_rates.h"
#include "storage/file/durable_file.h"
#include "storage/file/free_space.h"
#include "storage/store/layer_store.h"

namespace sluice {
namespace {

constexpr int64_t kKiB = 1024;
constexpr int64_t kProbeFileBytes = int64_t{1} << 30;
// Another way to read than the default must be faster by this much: a shared disk's rate drifts.
constexpr double kFaster = 1.1;
// Settings take turns: how a disk does now says little about how it will do in a second.
constexpr int kRounds = 5;
// Of what is measured in one go.
constexpr int kRuns = 3;
// Of all kernels together in a quick probe: a shared machine's memory may be twice as fast for a
// tenth of a second.
constexpr double kQuickKernelSeconds = 0.8;

std::string FirstLine(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// A file of random bytes without a name: it goes with this process, however that ends.
class ProbeFile {
 public:
  static absl::StatusOr<ProbeFile> Create(const std::string& dir) {
    SLUICE_ASSIGN_OR_RETURN(const std::optional<FreeSpace> space, ReadFreeSpace(dir));
    if (space.has_value() && space->free_bytes < 2 * kProbeFileBytes) {
      return absl::ResourceExhaustedError(absl::StrCat(dir, ": measuring the disk takes a file of ",
                                                       kProbeFileBytes, " bytes for a ", "moment; ",
                                                       space->free_bytes, " are free"));
    }
    const std::string path = absl::StrCat(dir, "/.sluice-probe-", getpid());
    SLUICE_ASSIGN_OR_RETURN(const OutputFile output,
                            OutputFile::Create(path, kProbeFileBytes, PageCache::kBypass));
    ProbeFile file;
    file.fd_ = FileDescriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const int error = errno;
    unlink(path.c_str());
    if (file.fd_.get() < 0) return FileError(error, "open", path);
    constexpr int64_t kChunk = int64_t{4} << 20;
    const AlignedBytes chunk = AllocateAligned(kChunk);
    std::mt19937_64 random(1);
    auto* const words = reinterpret_cast<uint64_t*>(chunk.get());
    std::generate(words, words + kChunk / 8, random);
    for (int64_t offset = 0; offset < kProbeFileBytes; offset += kChunk) {
      words[0] = random();
      SLUICE_RETURN_IF_ERROR(output.WriteAt(offset, {chunk.get(), kChunk}));
    }
    SLUICE_RETURN_IF_ERROR(output.Sync());
    return file;
  }
  ReadSource source() const { return {absl::StrCat("/proc/self/fd/", fd_.get()), kProbeFileBytes}; }

 private:
  FileDescriptor fd_;
};

struct Setting {
  int64_t read_bytes;
  int queue_depth;
};

std::vector<Setting> DiskSettings(bool quick, int64_t most_in_flight) {
  std::vector<Setting> settings;
  if (quick) {
    settings = {{256 * kKiB, 4}, {kKiB * kKiB, 4}, {kKiB * kKiB, 16}, {kKiB * kKiB, 32}};
  } else {
    for (const int64_t kib : {256, 512, 1024, 2048, 4096}) {
      for (const int depth : {1, 2, 4, 8, 16, 32, 64}) settings.push_back({kib * kKiB, depth});
    }
  }
  const auto too_much = [&](const Setting& s) {
    return s.read_bytes * s.queue_depth > most_in_flight;
  };
  settings.erase(std::remove_if(settings.begin() + 1, settings.end(), too_much), settings.end());
  return settings;
}

DiskRate BestOf(const std::vector<DiskRate>& rates) {
  const IoOptions usual;
  DiskRate best = {usual.read_bytes, usual.queue_depth, 0};
  for (const DiskRate& rate : rates) {
    if (rate.read_bytes == usual.read_bytes && rate.queue_depth == usual.queue_depth) best = rate;
  }
  const double enough = kFaster * best.bytes_per_s;
  for (const DiskRate& rate : rates) {
    if (rate.bytes_per_s > std::max(enough, best.bytes_per_s)) best = rate;
  }
  return best;
}

class Prober {
 public:
  explicit Prober(const ProbeOptions& options) : options_(options), pool_(1, options.placement) {}

  absl::StatusOr<ProbeResult> Run() {
    const std::vector<Setting> settings = DiskSettings(options_.quick, memory_bytes_ / 2);
    const std::vector<int64_t> rows = options_.quick
                                          ? std::vector<int64_t>{1, 64}
                                          : std::vector<int64_t>{1, 2, 4, 8, 16, 64, 512};
    const size_t num_kernels = (options_.encodings.size() + options_.fast_math) * rows.size();
    total_ = static_cast<int>(kRounds * (settings.size() + 1) + 5 + num_kernels);
    if (options_.quick) kernel_seconds_ = kQuickKernelSeconds / std::max<size_t>(num_kernels, 1);
    result_.cpu = CpuName();
    SLUICE_ASSIGN_OR_RETURN(result_.disk, DiskName(options_.dir));
    result_.isa = std::string(IsaName(options_.isa));
    SLUICE_RETURN_IF_ERROR(Disk(settings));
    pool_.Grow(options_.num_threads);  // without threads that read, no other is of use
    if (!pool_.shortage().ok() && options_.on_fewer_threads) {
      options_.on_fewer_threads(pool_.shortage());
    }
    MachineRates& rates = result_.rates;
    rates.num_threads = pool_.num_threads();
    rates.num_cpus = AvailableCpus();
    const double seconds = options_.quick ? 0.05 : 0.5;
    Step("memory");
    rates.memory_bytes_per_s = Repeat("the memory", [&] {
      return MeasureReadBandwidth(pool_, memory_bytes_, options_.quick ? 1 : 2);
    });
    Step("verifying");
    rates.verify_bytes_per_s = Repeat(
        "checking a slab", [&] { return MeasureVerifyRate(seconds / kRuns, memory_bytes_); });
    Step("decompressing");
    SLUICE_ASSIGN_OR_RETURN(const UnpackRate unpack, MeasureUnpackRate(seconds));
    rates.unpack_bytes_per_s = unpack.raw_bytes_per_s;
    rates.bf16_stored_share = unpack.stored_share;
    SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Ops> ops, MakeCpuOps(options_.isa, &pool_));
    for (const Encoding encoding : options_.encodings) {
      SLUICE_RETURN_IF_ERROR(Kernels(*ops, encoding, rows, /*fast_math=*/false, &rates.kernels));
    }
    if (options_.fast_math) {
      SLUICE_RETURN_IF_ERROR(
          Kernels(*ops, Encoding::kBF16, rows, /*fast_math=*/true, &rates.fast_kernels));
    }
    Step("the GPU");
    SLUICE_ASSIGN_OR_RETURN(result_.devices, MeasureCudaDevices(seconds));
    result_.memory_bytes = options_.memory_bytes;
    return std::move(result_);
  }

 private:
  void Step(absl::string_view what) {
    if (options_.on_step) options_.on_step(what, done_, total_);
    ++done_;
  }

  // The median of a few runs, which become a spread of the result.
  double Repeat(const char* what, absl::FunctionRef<double()> measure) {
    std::vector<double> rates;
    for (int run = 0; run < kRuns; ++run) rates.push_back(measure());
    result_.spreads.push_back({what, SummarizeSamples(std::move(rates))});
    return result_.spreads.back().samples.median;
  }

  absl::Status Kernels(Ops& ops, Encoding encoding, const std::vector<int64_t>& rows,
                       bool fast_math, std::vector<KernelRate>* kernels) {
    SLUICE_ASSIGN_OR_RETURN(const MatMulRate product, MatMulRate::Create(encoding, memory_bytes_));
    for (const int64_t n : rows) {
      Step(absl::StrCat(Info(encoding).name, fast_math ? ", --fast-math," : "", " with ", n,
                        " rows"));
      SLUICE_ASSIGN_OR_RETURN(const double rate,
                              product.Measure(ops, n, kernel_seconds_, fast_math));
      kernels->push_back({encoding, n, rate});
    }
    return absl::OkStatus();
  }

  absl::Status Disk(const std::vector<Setting>& settings) {
    Step("the files to read");
    std::vector<ReadSource> sources;
    ProbeFile file;
    if (const auto store = LayerStore::Open(options_.dir); store.ok()) {
      const std::vector<ManifestFile>& files = (*store)->manifest().files;
      for (size_t i = 0; i < files.size(); ++i) {
        sources.push_back({(*store)->FilePath(static_cast<int>(i)), files[i].bytes});
      }
    } else {
      SLUICE_ASSIGN_OR_RETURN(file, ProbeFile::Create(options_.dir));
      sources.push_back(file.source());
    }
    std::vector<std::vector<double>> runs(settings.size());
    std::vector<double> small_ring;
    for (int round = 0; round < kRounds; ++round) {
      for (size_t i = 0; i < settings.size(); ++i) {
        IoOptions io;
        io.kind = options_.io;
        io.read_bytes = settings[i].read_bytes;
        io.queue_depth = settings[i].queue_depth;
        io.on_fewer_threads = options_.on_fewer_threads;
        Step(absl::StrCat("disk, ", io.queue_depth, " reads of ", io.read_bytes / kKiB, " KiB"));
        SLUICE_ASSIGN_OR_RETURN(const double rate,
                                MeasureReadRate(sources, io, options_.quick ? 0.06 : 0.1));
        runs[i].push_back(rate);
      }
      Step("the ring of a small budget");
      SLUICE_ASSIGN_OR_RETURN(const double streamed,
                              MeasureSmallRing(sources, options_.io, options_.quick ? 0.06 : 0.1));
      small_ring.push_back(streamed);
    }
    MachineRates& rates = result_.rates;
    ProbeSpread fastest = {"the disk", {}};
    for (size_t i = 0; i < settings.size(); ++i) {
      const Samples samples = SummarizeSamples(std::move(runs[i]));
      result_.disk_rates.push_back(
          {settings[i].read_bytes, settings[i].queue_depth, samples.median});
      if (samples.median > fastest.samples.median) fastest.samples = samples;
    }
    const DiskRate best = BestOf(result_.disk_rates);
    rates.read_bytes = best.read_bytes;
    rates.queue_depth = best.queue_depth;
    rates.disk_bytes_per_s = fastest.samples.median;
    result_.spreads.push_back(std::move(fastest));
    // A turn brings all that the ring has room for.
    const double small = SummarizeSamples(std::move(small_ring)).median;
    if (small > 0)
      rates.ring_turn_s =
          std::max(0.0, kSmallRingBytes / small - kSmallRingBytes / rates.disk_bytes_per_s);
    return absl::OkStatus();
  }

  const ProbeOptions& options_;
  ThreadPool pool_;
  ProbeResult result_;
  const int64_t memory_bytes_ =
      std::min(options_.memory_bytes, DefaultBudgetOf(ReadMemoryLimits()).bytes / 4);
  double kernel_seconds_ = 0.15;  // for each encoding and number of rows
  int done_ = 0;
  int total_ = 0;
};

}  // namespace

std::string CpuName() {
  std::ifstream in("/proc/cpuinfo");
  std::string line;
  std::string name = "unknown CPU";
  while (std::getline(in, line)) {
    if (line.rfind("model name", 0) != 0) continue;
    name = line.substr(line.find(':') + 1);
    break;
  }
  return absl::StrCat(absl::StripAsciiWhitespace(name), ", ", AvailableCpus(), " CPUs");
}

absl::StatusOr<std::string> DiskName(const std::string& dir) {
  struct stat info;
  if (stat(dir.c_str(), &info) != 0) return FileError(errno, "inspect", dir);
  const std::string number = absl::StrCat(major(info.st_dev), ":", minor(info.st_dev));
  const std::string sys = absl::StrCat("/sys/dev/block/", number);
  char link[PATH_MAX];
  const ssize_t length = readlink(sys.c_str(), link, sizeof(link));
  if (length <= 0) return absl::StrCat("device ", number);
  const absl::string_view target(link, length);
  return absl::StrCat(target.substr(target.rfind('/') + 1), ", ", FirstLine(sys + "/size"),
                      " sectors");
}

absl::StatusOr<ProbeResult> ProbeMachine(const ProbeOptions& options) {
  return Prober(options).Run();
}

std::string SpreadRemark(const ProbeResult& result, const std::string& dir) {
  std::vector<std::string> wide;
  for (const ProbeSpread& spread : result.spreads) {
    if (spread.samples.wide()) wide.push_back(DescribeSamples(spread.what, spread.samples));
  }
  if (wide.empty()) return "";
  return absl::StrCat(absl::StrJoin(wide, ", "),
                      ": something else may use this machine. The median counts, and predictions "
                      "may be as far off; run "
                      "`sluice probe ",
                      dir, "` again when the machine is idle");
}

std::vector<Encoding> SlabEncodings(const Manifest& manifest) {
  std::vector<Encoding> encodings;
  for (const ManifestTensor& tensor : manifest.tensors) {
    if (PlaceOf(tensor.role) != TensorPlace::kSlabs) continue;
    if (std::find(encodings.begin(), encodings.end(), tensor.encoding) == encodings.end()) {
      encodings.push_back(tensor.encoding);
    }
  }
  return encodings;
}

}  // namespace sluice
