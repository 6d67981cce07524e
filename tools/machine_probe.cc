// Each rate by the code that a run uses: the engine, XXH3, the matrix kernels.
#include "tools/machine_probe.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "kernels/cpu/bandwidth.h"
#include "kernels/cpu/matmul_rate.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/status_macros.h"
#include "prefetch/stage_rates.h"
#include "storage/durable_file.h"
#include "storage/free_space.h"
#include "storage/layer_store.h"
#include "tools/compute_threads.h"
#include "tools/memory_limits.h"
#include "tools/system_memory.h"

namespace sluice {
namespace {

constexpr int64_t kKiB = 1024;
constexpr int64_t kProbeFileBytes = int64_t{1} << 30;
// Another way to read than the default must be faster by this much: a shared disk's rate drifts.
constexpr double kFaster = 1.1;
// Settings take turns: how a disk does now says little about how it will do in a second.
constexpr int kRounds = 3;
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

std::vector<Setting> DiskSettings(bool quick) {
  if (quick) return {{kKiB * kKiB, 4}, {kKiB * kKiB, 16}, {kKiB * kKiB, 32}};
  std::vector<Setting> settings;
  for (const int64_t kib : {256, 512, 1024, 2048, 4096}) {
    for (const int depth : {1, 2, 4, 8, 16, 32, 64}) settings.push_back({kib * kKiB, depth});
  }
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
    const std::vector<Setting> settings = DiskSettings(options_.quick);
    const std::vector<int64_t> rows =
        options_.quick ? std::vector<int64_t>{1, 64} : std::vector<int64_t>{1, 2, 4, 8, 16, 64, 512};
    const size_t num_kernels = (options_.encodings.size() + options_.fast_math) * rows.size();
    total_ = static_cast<int>(kRounds * settings.size() + 5 + num_kernels);
    if (options_.quick) kernel_seconds_ = kQuickKernelSeconds / std::max<size_t>(num_kernels, 1);
    result_.cpu = CpuName();
    SLUICE_ASSIGN_OR_RETURN(result_.disk, DiskName(options_.dir));
    result_.isa = std::string(IsaName(options_.isa));
    SLUICE_RETURN_IF_ERROR(Disk(settings));
    pool_.Grow(options_.num_threads);  // without threads that read, no other is of use
    if (!pool_.shortage().ok()) SayFewerThreads()(pool_.shortage());
    MachineRates& rates = result_.rates;
    rates.num_threads = pool_.num_threads();
    rates.num_cpus = AvailableCpus();
    Step("memory");
    rates.memory_bytes_per_s = MeasureReadBandwidth(pool_, memory_bytes_);
    Step("verifying");
    rates.verify_bytes_per_s = MeasureVerifyRate(options_.quick ? 0.05 : 0.5);
    Step("decompressing");
    SLUICE_ASSIGN_OR_RETURN(const UnpackRate unpack, MeasureUnpackRate(options_.quick ? 0.05 : 0.5));
    rates.unpack_bytes_per_s = unpack.raw_bytes_per_s;
    rates.bf16_stored_share = unpack.stored_share;
    SLUICE_ASSIGN_OR_RETURN(const std::unique_ptr<Ops> ops, MakeCpuOps(options_.isa, &pool_));
    for (const Encoding encoding : options_.encodings) {
      SLUICE_RETURN_IF_ERROR(Kernels(*ops, encoding, rows, /*fast_math=*/false, &rates.kernels));
    }
    if (options_.fast_math) {
      SLUICE_RETURN_IF_ERROR(Kernels(*ops, Encoding::kBF16, rows, /*fast_math=*/true, &rates.fast_kernels));
    }
    Step("the GPU");
    SLUICE_ASSIGN_OR_RETURN(result_.devices, MeasureCudaDevices(options_.quick ? 0.05 : 0.5));
    return std::move(result_);
  }

 private:
  void Step(absl::string_view what) {
    if (options_.on_step) options_.on_step(what, done_, total_);
    ++done_;
  }

  absl::Status Kernels(Ops& ops, Encoding encoding, const std::vector<int64_t>& rows, bool fast_math,
                       std::vector<KernelRate>* kernels) {
    SLUICE_ASSIGN_OR_RETURN(const MatMulRate product, MatMulRate::Create(encoding, memory_bytes_));
    for (const int64_t n : rows) {
      Step(absl::StrCat(Info(encoding).name, fast_math ? ", --fast-math," : "", " with ", n, " rows"));
      SLUICE_ASSIGN_OR_RETURN(const double rate, product.Measure(ops, n, kernel_seconds_, fast_math));
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
    for (const Setting& setting : settings) {
      result_.disk_rates.push_back({setting.read_bytes, setting.queue_depth, 0});
    }
    for (int round = 0; round < kRounds; ++round) {
      for (DiskRate& best : result_.disk_rates) {
        IoOptions io;
        io.kind = options_.io;
        io.read_bytes = best.read_bytes;
        io.queue_depth = best.queue_depth;
        io.on_fewer_threads = SayFewerThreads();
        Step(absl::StrCat("disk, ", best.queue_depth, " reads of ", best.read_bytes / kKiB, " KiB"));
        SLUICE_ASSIGN_OR_RETURN(const double rate,
                                MeasureReadRate(sources, io, options_.quick ? 0.1 : 0.15));
        best.bytes_per_s = std::max(best.bytes_per_s, rate);
      }
    }
    const DiskRate best = BestOf(result_.disk_rates);
    result_.rates.read_bytes = best.read_bytes;
    result_.rates.queue_depth = best.queue_depth;
    for (const DiskRate& rate : result_.disk_rates) {
      result_.rates.disk_bytes_per_s = std::max(result_.rates.disk_bytes_per_s, rate.bytes_per_s);
    }
    return absl::OkStatus();
  }

  const ProbeOptions& options_;
  ThreadPool pool_;
  ProbeResult result_;
  const int64_t memory_bytes_ = std::min(options_.memory_bytes, DefaultBudgetOf(ReadMemoryLimits()).bytes / 4);
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

std::string ProbeCachePath() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0') {
    return absl::StrCat(cache, "/sluice/probe.json");
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return absl::StrCat(home, "/.cache/sluice/probe.json");
  }
  return "";
}

}  // namespace sluice
