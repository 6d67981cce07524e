// How near streaming slabs comes to what the disk gives: SlabStream with each engine, nothing
// resident, against threads that only pread, in turns on the same file.
//
//   stream [directory = /tmp] [gigabytes = 4] [rounds = 5]
//
// Writes a file of random slabs there, and removes it. A stream is compared with the raw reads just
// before it, as shared disks change their pace; rates and ratios are medians. CPU is in percent of
// one core.
#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "prefetch/io/host_buffer.h"
#include "prefetch/io/io_file.h"
#include "prefetch/slab_stream.h"

namespace sluice {
namespace {

constexpr int64_t kSlabBytes = int64_t{8} << 20;
constexpr int64_t kRingBytes = int64_t{64} << 20;
constexpr int64_t kReadBytes = int64_t{1} << 20;
constexpr int kRawThreads = 16;  // as many reads in flight as the streams have

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

// A file, removed by the destructor.
class SlabFile {
 public:
  SlabFile(const std::string& directory, int64_t bytes)
      : path_(directory + "/sluice_bench_XXXXXX") {
    const UniqueFd fd(mkstemp(path_.data()));
    if (fd.get() < 0) Die("cannot write into " + directory);
    std::mt19937_64 random(1);
    std::vector<uint64_t> slab(kSlabBytes / sizeof(uint64_t));
    for (int64_t offset = 0; offset < bytes; offset += kSlabBytes) {
      for (uint64_t& word : slab) word = random();
      cycle_.push_back({.file = 0,
                        .offset = offset,
                        .bytes = kSlabBytes,
                        .checksum = XXH3_64bits(slab.data(), kSlabBytes)});
      if (write(fd.get(), slab.data(), kSlabBytes) != kSlabBytes) Die("the disk is full");
    }
    if (fsync(fd.get()) != 0) Die("fsync failed");
    posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
  ~SlabFile() { std::filesystem::remove(path_); }

  const std::string& path() const { return path_; }
  const std::vector<StreamSlab>& cycle() const { return cycle_; }
  int64_t bytes() const { return static_cast<int64_t>(cycle_.size()) * kSlabBytes; }

 private:
  std::string path_;
  std::vector<StreamSlab> cycle_;
};

// Bytes that this process had from storage. Less than was read: the rest came out of a cache.
int64_t StorageBytes() {
  std::ifstream in("/proc/self/io");
  std::string name;
  for (int64_t bytes; in >> name >> bytes;) {
    if (name == "read_bytes:") return bytes;
  }
  return 0;
}

// The limit: bytes a second of threads that take the next block and read it. Into huge pages, as
// the streams do: with 4 KiB pages a read is 256 segments, and a virtual disk gave half of its
// rate.
double RawRate(const SlabFile& file) {
  const absl::StatusOr<IoFile> in = IoFile::Open(file.path(), true);
  if (!in.ok()) Die(in.status().ToString());
  std::atomic<int64_t> next{0};
  std::vector<std::thread> threads;
  const double begin = Now();
  for (int i = 0; i < kRawThreads; ++i) {
    threads.emplace_back([&] {
      const HostBuffer buffer = *HostBuffer::Create(kHugePageBytes);
      for (int64_t at; (at = next.fetch_add(kReadBytes)) < file.bytes();) {
        if (pread(in->fd(), buffer.data(), kReadBytes, at) != kReadBytes) Die("a short read");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return static_cast<double>(file.bytes()) / (Now() - begin);
}

// Seconds that threads of this name in this process have run.
double CpuSeconds(const std::string& name) {
  double seconds = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string comm;
    std::getline(std::ifstream(task.path() / "comm") >> std::ws, comm);
    double nanoseconds = 0;
    if (comm == name) std::ifstream(task.path() / "schedstat") >> nanoseconds;
    seconds += nanoseconds / 1e9;
  }
  return seconds;
}

struct StreamRun {
  double rate, from_storage, io_cpu, verify_cpu, verify_rate, disk_busy;
  std::string description;
};

StreamRun RunStream(const SlabFile& file, const IoOptions& io) {
  const int64_t storage_begin = StorageBytes();
  const double begin = Now();
  auto stream =
      SlabStream::Create({file.path()}, file.cycle(), {.io = io, .ring_bytes = kRingBytes});
  if (!stream.ok()) Die(stream.status().ToString());
  for (size_t i = 0; i < file.cycle().size(); ++i) {
    const auto lease = (*stream)->Next();
    if (!lease.ok()) Die(lease.status().ToString());
  }
  const double wall = Now() - begin;
  const StreamCounters counters = (*stream)->counters();
  const int64_t from_storage = StorageBytes() - storage_begin;
  return {.rate = static_cast<double>(file.bytes()) / wall,
          .from_storage = static_cast<double>(from_storage) / file.bytes(),
          .io_cpu = CpuSeconds("sluice-io") / wall,
          .verify_cpu = CpuSeconds("sluice-verify") / wall,
          .verify_rate = static_cast<double>(file.bytes()) / counters.verify_seconds,
          .disk_busy = counters.io.busy_seconds / wall,
          .description = (*stream)->io_description()};
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Run(const std::string& directory, int64_t bytes, int rounds) {
  const SlabFile file(directory, bytes);
  const std::vector<IoOptions> engines = {
      {.kind = IoKind::kAuto},
      {.kind = IoKind::kAuto, .register_buffers = false},
      {.kind = IoKind::kThreads},
      {.kind = IoKind::kAuto, .direct = false},
      {.kind = IoKind::kThreads, .direct = false},
  };
  std::printf("%d MiB slabs, %d MiB ring; the limit: %d threads that pread 1 MiB with O_DIRECT\n",
              static_cast<int>(kSlabBytes >> 20), static_cast<int>(kRingBytes >> 20), kRawThreads);
  for (const IoOptions& io : engines) {
    std::vector<double> raw, rate, storage, ratio, busy, io_cpu, verify_cpu, verify_rate;
    std::string description;
    for (int round = 0; round < rounds; ++round) {
      raw.push_back(RawRate(file));
      const StreamRun run = RunStream(file, io);
      rate.push_back(run.rate);
      storage.push_back(run.from_storage);
      ratio.push_back(run.rate / raw.back());
      busy.push_back(run.disk_busy);
      io_cpu.push_back(run.io_cpu);
      verify_cpu.push_back(run.verify_cpu);
      verify_rate.push_back(run.verify_rate);
      description = run.description;
    }
    const auto [least, most] = std::minmax_element(rate.begin(), rate.end());
    std::printf(
        "%s\n  %.2f GB/s (%.2f-%.2f), limit %.2f GB/s, ratio %.1f%%; from storage %.0f%%; disk "
        "busy %.1f%%; CPU: "
        "engine %.1f%%, verifier %.1f%% (XXH3 at %.1f GB/s)\n",
        description.c_str(), Median(rate) / 1e9, *least / 1e9, *most / 1e9, Median(raw) / 1e9,
        100 * Median(ratio), 100 * Median(storage), 100 * Median(busy), 100 * Median(io_cpu),
        100 * Median(verify_cpu), Median(verify_rate) / 1e9);
  }
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  const std::string directory = argc > 1 ? argv[1] : "/tmp";
  const double gigabytes = argc > 2 ? std::atof(argv[2]) : 4;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 5;
  sluice::Run(directory, static_cast<int64_t>(gigabytes * 1e9), std::max(1, rounds));
}
