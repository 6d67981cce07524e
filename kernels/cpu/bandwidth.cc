// Reads a large buffer with all threads and takes the time.
#include "kernels/cpu/bandwidth.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

namespace sluice {
namespace {

constexpr int64_t kSliceBytes = int64_t{32} << 20;

// Eight sums of 64-byte lines, which compilers turn into vector adds of the baseline's registers: a
// core's loads outrun its memory by far, so that wider ones would read no faster. No prefetching:
// where measured, the hardware's alone was faster (kernels/cpu/matmul_simd.h).
uint64_t SumLines(const uint64_t* words, int64_t count) {
  uint64_t sums[8] = {};
  for (int64_t i = 0; i + 8 <= count; i += 8) {
    for (int j = 0; j < 8; ++j) sums[j] += words[i + j];
  }
  uint64_t sum = 0;
  for (uint64_t s : sums) sum += s;
  return sum;
}

}  // namespace

double ReadThrough(ThreadPool& pool, absl::Span<const std::byte> memory) {
  std::atomic<uint64_t> sink = 0;
  const auto lines = static_cast<int64_t>(memory.size()) / 64;
  const auto start = std::chrono::steady_clock::now();
  pool.Run(lines, 64, [&](int64_t begin, int64_t end) {
    const auto* words = reinterpret_cast<const uint64_t*>(memory.data());
    sink.fetch_add(SumLines(words + 8 * begin, 8 * (end - begin)), std::memory_order_relaxed);
  });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return static_cast<double>(64 * lines) / seconds.count();
}

double MeasureReadBandwidth(ThreadPool& pool, int64_t buffer_bytes, int rounds) {
  const int64_t size = std::max<int64_t>(1, buffer_bytes / kSliceBytes) * kSliceBytes;
  void* const buffer =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (buffer == MAP_FAILED) return 0;
#if defined(MADV_HUGEPAGE)
  madvise(buffer, size, MADV_HUGEPAGE);
#endif
  auto* const bytes = static_cast<char*>(buffer);
  // Touched by the threads that will read, for machines with several memories.
  pool.Run(size, 4096,
           [&](int64_t begin, int64_t end) { std::memset(bytes + begin, 1, end - begin); });
  double best = 0;
  for (int64_t slice = 0; slice < size / kSliceBytes * rounds; ++slice) {
    const auto* from = static_cast<const std::byte*>(buffer) + slice * kSliceBytes % size;
    best = std::max(best, ReadThrough(pool, {from, kSliceBytes}));
  }
  munmap(buffer, size);
  return best;
}

}  // namespace sluice
