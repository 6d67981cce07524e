// What the kernel benchmarks share: memory in huge pages, and the machine's limits, measured in the
// same run.
#ifndef SLUICE_BENCH_KERNEL_BENCH_H_
#define SLUICE_BENCH_KERNEL_BENCH_H_

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "bench/peak/peak.h"
#include "kernels/cpu/bandwidth.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/thread_pool.h"

namespace sluice {

// Zeroed pages that the system may make huge. Owns them.
class Buffer {
 public:
  explicit Buffer(int64_t size) : size_(size) {
    data_ = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data_ == MAP_FAILED) {
      std::perror("mmap");
      std::exit(1);
    }
    madvise(data_, size, MADV_HUGEPAGE);
  }
  ~Buffer() { munmap(data_, size_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  std::byte* data() { return static_cast<std::byte*>(data_); }

 private:
  int64_t size_;
  void* data_;
};

struct Limits {
  double read_bandwidth;  // bytes/s, all threads
  // Operations/s by Isa of a loop of nothing but fma [0] or int8 dot products [1], all threads.
  double peak_ops[5][2];
  double peak_rounded_ops;  // of dot products of bf16 pairs; 0 where the CPU has none
};

// Measures and prints them.
inline Limits MeasureLimits(ThreadPool& pool) {
  Limits limits = {};
  limits.read_bandwidth = MeasureReadBandwidth(pool);
  std::printf("%d threads read %.1f GB/s; peak GOPS (int8, f32):", pool.num_threads(),
              limits.read_bandwidth / 1e9);
  for (Isa isa : SupportedIsas()) {
    double* const peak = limits.peak_ops[static_cast<int>(isa)];
    peak[0] = MeasurePeakOps(pool, isa, false);
    peak[1] = MeasurePeakOps(pool, isa, true);
    std::printf(" %s %.0f, %.0f", std::string(IsaName(isa)).c_str(), peak[1] / 1e9, peak[0] / 1e9);
  }
  std::printf("\n");
  if (RoundsActivations(SupportedIsas().back())) {
    limits.peak_rounded_ops = MeasurePeakRoundedOps(pool, SupportedIsas().back());
    std::printf("peak GOPS of bf16 pairs (--fast-math): %.0f\n", limits.peak_rounded_ops / 1e9);
  }
  std::fflush(stdout);
  return limits;
}

// Takes --threads=N out of the arguments; without it, all CPUs.
inline int TakeThreads(int* argc, char** argv) {
  int threads = static_cast<int>(std::thread::hardware_concurrency());
  int left = 1;
  for (int i = 1; i < *argc; ++i) {
    if (std::strncmp(argv[i], "--threads=", 10) == 0) {
      threads = std::atoi(argv[i] + 10);
    } else {
      argv[left++] = argv[i];
    }
  }
  *argc = left;
  return threads;
}

}  // namespace sluice

#endif  // SLUICE_BENCH_KERNEL_BENCH_H_
