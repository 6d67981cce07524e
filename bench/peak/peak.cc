// Times loops of nothing but multiply-adds on all threads.
#include "bench/peak/peak.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "bench/peak/peak_loops.h"

namespace sluice {
namespace {

// Scalar code has no vectors to fill; one multiply-add at a time is what it is measured against.
int64_t ScalarInt8(int64_t rounds) {
  volatile int32_t one = 1;
  const int32_t factor = one;
  int32_t sums[8] = {};
  for (int64_t i = 0; i < rounds; ++i) {
    for (int j = 0; j < 8; ++j) {
      sums[j] += factor * static_cast<int32_t>(i & 127);
      asm volatile("" : "+r"(sums[j]));  // keeps it scalar
    }
  }
  return 16 * rounds;
}

int64_t ScalarF32(int64_t rounds) {
  volatile float one = 1;
  const float factor = one;
  float sums[8] = {};
  for (int64_t i = 0; i < rounds; ++i) {
    for (float& sum : sums) sum = std::fma(factor, factor, sum);
  }
  volatile float sink = 0;
  for (float sum : sums) sink = sink + sum;
  return 16 * rounds;
}

PeakLoop LoopOf(Isa isa, bool quantized) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx2:
      return quantized ? kAvx2PeakInt8 : kAvx2PeakF32;
    case Isa::kAvxVnni:
      return quantized ? kAvxVnniPeakInt8 : kAvxVnniPeakF32;
    case Isa::kAvx512:
      return quantized ? kAvx512PeakInt8 : kAvx512PeakF32;
#endif
#if defined(__aarch64__)
    case Isa::kNeon:
      return quantized ? kNeonPeakInt8 : kNeonPeakF32;
#endif
    default:
      return quantized ? ScalarInt8 : ScalarF32;
  }
}

double Measure(ThreadPool& pool, PeakLoop loop) {
  // An attempt takes a fraction of a time slice, so that some are free of other programs.
  constexpr int64_t kPieces = 8;
  constexpr int64_t kRounds = 10000;
  double best = 0;
  for (int attempt = 0; attempt < 200; ++attempt) {
    const auto start = std::chrono::steady_clock::now();
    const int64_t pieces = kPieces * pool.num_threads();
    int64_t operations = 0;
    pool.Run(pieces, 1, [&](int64_t begin, int64_t end) {
      int64_t done = 0;
      for (int64_t piece = begin; piece < end; ++piece) done = loop(kRounds);
      if (begin == 0) operations = done * pieces;
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(operations) / seconds.count());
  }
  return best;
}

}  // namespace

double MeasurePeakOps(ThreadPool& pool, Isa isa, bool quantized) {
  return Measure(pool, LoopOf(isa, quantized));
}

double MeasurePeakRoundedOps(ThreadPool& pool, [[maybe_unused]] Isa isa) {
#if defined(__x86_64__)
  if (RoundsActivations(isa)) return Measure(pool, kAvx512PeakBF16);
#endif
  return Measure(pool, ScalarF32);
}

}  // namespace sluice
