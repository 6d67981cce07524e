// Matrix products: GB/s of weight bytes and GOPS, next to this machine's limits measured in the
// same run.
//
// For each encoding, instruction set and number of tokens it reports
//   weights_GBps  bytes of weights a second, and
//   of_bandwidth  their share of what the same threads read from memory at best;
//   GOPS          operations a second (2 a weight and token), and
//   of_peak       their share of a loop of nothing but vpdpbusd (quantized) or fma (floats) on all
//                 threads, with the instructions of that instruction set; of vdpbf16ps for
//                 bf16_fast, which is bf16 with --fast-math.
// The matrix is far larger than the caches and each iteration takes its next slice, so that one
// token is bound by memory. Rates are those of the best iteration, as the limits are: other
// programs on the machine can only make one slower. `Time` is the mean; its distance from the best
// shows how busy the machine was.
//
//   bench_kernels [--threads=N] [Google Benchmark's flags, as --benchmark_filter=q4_k/avx512]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/kernel_bench.h"
#include "benchmark/benchmark.h"
#include "kernels/encodings/encoding.h"
#include "kernels/encodings/tile.h"
#include "kernels/ops.h"

namespace sluice {
namespace {

constexpr int64_t kK = 4096;
constexpr int64_t kMatrixBytes = int64_t{384} << 20;
constexpr int64_t kSliceBytes = int64_t{24} << 20;

// One encoding's weights, shared by all of its benchmarks: a few tiles of random blocks, repeated.
Buffer& Weights(Encoding encoding, int64_t num_tiles) {
  static Buffer* const buffer = new Buffer(kMatrixBytes + (1 << 20));
  static Encoding current = Encoding::kF32;
  static bool filled = false;
  if (filled && current == encoding) return *buffer;
  filled = true;
  current = encoding;
  constexpr int64_t kDistinct = 4;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> row(kK);
  std::vector<std::byte> rows(16 * RowBytes(encoding, kK));
  const int64_t tile_bytes = TileBytes(encoding, kK);
  for (int64_t tile = 0; tile < kDistinct; ++tile) {
    for (int r = 0; r < 16; ++r) {
      for (float& value : row) value = normal(random);
      EncodeRow(encoding, row.data(), kK, rows.data() + r * RowBytes(encoding, kK));
    }
    PackTile(encoding, rows.data(), RowBytes(encoding, kK), 16, kK,
             buffer->data() + tile * tile_bytes);
  }
  for (int64_t tile = kDistinct; tile < num_tiles; ++tile) {
    std::memcpy(buffer->data() + tile * tile_bytes, buffer->data() + tile % kDistinct * tile_bytes,
                tile_bytes);
  }
  return *buffer;
}

void BenchMatMul(benchmark::State& state, ThreadPool& pool, Isa isa, Encoding encoding,
                 bool rounded, int64_t tokens, const Limits& limits) {
  const EncodingInfo& info = Info(encoding);
  const ActivationFormat format = rounded ? ActivationFormat::kBF16 : info.activations;
  const int64_t tile_bytes = TileBytes(encoding, kK);
  // A slice takes about a millisecond, and scalar code at least 16 rows.
  const int64_t slice_values = isa == Isa::kScalar ? 1 : int64_t{150'000'000} / tokens;
  const int64_t all_tiles = kMatrixBytes / tile_bytes;
  const int64_t num_tiles =
      std::clamp<int64_t>(slice_values / (16 * kK), pool.num_threads(), kSliceBytes / tile_bytes);
  Buffer& weights = Weights(encoding, all_tiles);
  std::unique_ptr<Ops> ops = *MakeCpuOps(isa, &pool);
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> x(tokens * kK);
  for (float& value : x) value = normal(random);
  Buffer activations(tokens * ActivationRowBytes(format, kK));
  if (!ops->PrepareActivations(format, x.data(), kK, tokens, kK, activations.data()).ok()) {
    state.SkipWithError("PrepareActivations failed");
  }
  std::vector<float> out(tokens * num_tiles * 16);
  MatMulArgs args = {};
  args.encoding = encoding;
  args.tiles = weights.data();
  args.num_tiles = num_tiles;
  args.k = kK;
  args.matrix_rows = args.out_stride = num_tiles * 16;
  args.activations = activations.data();
  args.num_tokens = tokens;
  args.rounded_activations = rounded;
  args.out = out.data();
  int64_t first_tile = 0;
  double best = std::numeric_limits<double>::infinity();
  for (auto _ : state) {
    args.tiles = weights.data() + first_tile * tile_bytes;
    const auto start = std::chrono::steady_clock::now();
    if (!ops->MatMul(args).ok()) state.SkipWithError("MatMul failed");
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    state.SetIterationTime(seconds.count());
    best = std::min(best, seconds.count());
    first_tile += num_tiles;
    if (first_tile + num_tiles > all_tiles) first_tile = 0;
  }
  const double bytes = static_cast<double>(num_tiles) * tile_bytes;
  const double operations = 2.0 * num_tiles * 16 * kK * tokens;
  state.counters["weights_GBps"] = bytes / best / 1e9;
  state.counters["of_bandwidth"] = bytes / best / limits.read_bandwidth;
  state.counters["GOPS"] = operations / best / 1e9;
  state.counters["of_peak"] = operations / best /
                              (rounded ? limits.peak_rounded_ops
                                       : limits.peak_ops[static_cast<int>(isa)][info.quantized()]);
}

int Main(int argc, char** argv) {
  const int threads = TakeThreads(&argc, argv);
  benchmark::Initialize(&argc, argv);
  ThreadPool pool(threads);
  const Limits limits = MeasureLimits(pool);
  std::printf("bits a weight:");
  for (const EncodingInfo& info : Encodings()) {
    std::printf(" %s %g", std::string(info.name).c_str(), info.bits_per_weight());
  }
  std::printf("\n");
  const auto add = [&](absl::string_view name, Encoding encoding, Isa isa, bool rounded) {
    for (int64_t tokens : {int64_t{1}, int64_t{4}, int64_t{64}, int64_t{512}}) {
      if (isa == Isa::kScalar && tokens > 64) continue;  // minutes
      benchmark::RegisterBenchmark(
          absl::StrCat(name, "/", IsaName(isa), "/tokens:", tokens).c_str(),
          [&, encoding, isa, rounded, tokens](benchmark::State& state) {
            BenchMatMul(state, pool, isa, encoding, rounded, tokens, limits);
          })
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond);
    }
  };
  for (const EncodingInfo& info : Encodings()) {
    for (Isa isa : SupportedIsas()) add(info.name, info.encoding, isa, /*rounded=*/false);
  }
  if (const Isa isa = SupportedIsas().back(); RoundsActivations(isa)) {
    add("bf16_fast", Encoding::kBF16, isa, /*rounded=*/true);
  }
  benchmark::RunSpecifiedBenchmarks();
  std::printf("after the run, %d threads read %.1f GB/s\n", threads,
              MeasureReadBandwidth(pool) / 1e9);
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(argc, argv); }
